//! Our verdict on reports and manifests that another verifier is asked about too. A line in, a line
//! out; `scripts/compare-nvidia` compares.
//!
//! In: `report`, time, report and chain in hexadecimal; or `manifest`, time, file in hexadecimal;
//! separated by tabs. Out: `accepted`, or `refused`, a tab and why.

use std::io::{BufRead as _, Write as _};

use vouch_evidence::nvidia::{self, Report, rim};
use vouch_evidence::{Anchors, Time, decode};

fn main() -> std::io::Result<()> {
    let anchors = Anchors::vendor();
    let mut out = std::io::stdout().lock();
    for line in std::io::stdin().lock().lines() {
        match verdict(&line?, &anchors) {
            Ok(()) => writeln!(out, "accepted")?,
            Err(why) => writeln!(out, "refused\t{why}")?,
        }
    }
    Ok(())
}

fn verdict(line: &str, anchors: &Anchors) -> Result<(), String> {
    let fields: Vec<&str> = line.split('\t').collect();
    let time = |text| Time::from_rfc3339_utc(text).ok_or_else(|| format!("no time: {text:?}"));
    let bytes = |text: &str| hex::decode(text).map_err(|error| format!("no hexadecimal: {error}"));
    match fields.as_slice() {
        ["report", at, report, chain] => {
            let chain = decode::certificates(&bytes(chain)?).map_err(|r| r.to_string())?;
            let chain: Vec<&[u8]> = chain.iter().map(Vec::as_slice).collect();
            let report = bytes(report)?;
            let report = Report::parse(&report).map_err(|r| r.to_string())?;
            nvidia::verify(&report, &chain, anchors, time(at)?)
                .map(|_| ())
                .map_err(|r| r.to_string())
        }
        ["manifest", at, xml] => rim::verify(&bytes(xml)?, anchors, time(at)?)
            .map(|_| ())
            .map_err(|r| r.to_string()),
        _ => Err("expected a report or a manifest".into()),
    }
}
