//! Hardware reports and quotes.

use vouch_evidence::azure::{Hardware, HclReport, TpmQuote};
use vouch_evidence::nvidia::{self, Opaque, Status};
use vouch_evidence::tdx::{Certification, Quote};
use vouch_evidence::{Rejection, sev_snp};

use super::tree::{Node, bytes, maybe, text};
use super::x509;

type Shown = Result<(String, Node), Rejection>;

pub(super) fn nvidia(raw: &[u8]) -> Shown {
    let report = nvidia::Report::parse(raw)?;
    let used = report.measurements.iter().filter(|m| *m.digest != [0; 48]);
    let measurements = used.map(|m| {
        let name = format!("{:02} at byte {}", m.index.saturating_sub(1), m.offset);
        (name, bytes(m.digest))
    });
    let unused = report.measurements.iter().filter(|m| *m.digest == [0; 48]);
    let unused = unused.count();
    let node = Node::branch([
        ("nonce", bytes(report.nonce)),
        ("responder_nonce", bytes(report.responder_nonce)),
        (
            "measurements (by the manifests' index, from 0)",
            Node::branch(measurements).with("unused", text(unused)),
        ),
        ("opaque", opaque(&report.opaque)),
        ("signature", bytes(report.signature)),
        (
            "signed_bytes",
            text(format!("0 to {}", report.signed.len())),
        ),
        ("zeros_after_the_signature", text(report.trailing_zeros)),
    ]);
    let kind = match report.opaque.driver_version {
        Some(_) => "NVIDIA GPU attestation report",
        None => "NVIDIA NVSwitch attestation report",
    };
    Ok((kind.into(), node))
}

fn opaque(opaque: &Opaque<'_>) -> Node {
    let status = |status: Option<Status>| {
        maybe(status.map(|status| if status == Status::On { "on" } else { "off" }))
    };
    Node::branch([
        ("version", text(opaque.version)),
        ("driver_version", maybe(opaque.driver_version)),
        (
            "vbios_version",
            maybe(opaque.vbios_version.map(hex::encode)),
        ),
        ("chip_info", maybe(opaque.chip_info)),
        ("chip_sku", maybe(opaque.chip_sku)),
        ("project", maybe(opaque.project)),
        ("project_sku", maybe(opaque.project_sku)),
        ("board_id", maybe(opaque.board_id)),
        ("fwid", maybe(opaque.fwid.map(hex::encode))),
        ("nvdec0", status(opaque.nvdec0)),
        ("protected_pcie", status(opaque.protected_pcie)),
        ("feature_flag", maybe(opaque.feature_flag)),
        ("pdi", maybe(opaque.pdi.map(hex::encode))),
        (
            "switch_gpu_pdis",
            maybe(opaque.switch_gpu_pdis.map(hex::encode)),
        ),
        ("lock_status", maybe(opaque.lock_status.map(hex::encode))),
    ])
}

pub(super) fn sev_snp(raw: &[u8]) -> Shown {
    let report = sev_snp::Report::parse(raw)?;
    let generation = report.generation;
    let tcb = |tcb: sev_snp::Tcb| match generation {
        None => text(tcb),
        Some(generation) => {
            let levels = tcb.components(generation);
            let named = levels
                .iter()
                .filter(|(arc, ..)| matches!(arc, 1 | 2 | 3 | 8 | 9));
            let named: Vec<String> = named
                .map(|(_, name, level)| format!("{name} {level}"))
                .collect();
            text(format!("{tcb} ({})", named.join(", ")))
        }
    };
    let policy = Node::branch([
        ("raw", text(format!("0x{:x}", report.policy.0))),
        ("debug", text(report.policy.debug())),
        ("migration_agent", text(report.policy.migration_agent())),
        ("smt", text(report.policy.smt())),
    ]);
    let node = Node::branch([
        ("version", text(report.version)),
        ("generation", maybe(generation)),
        ("guest_svn", text(report.guest_svn)),
        ("policy", policy),
        ("vmpl", text(report.vmpl)),
        ("signed_by", text(report.endorsement)),
        ("chip_id", bytes(report.chip_id)),
        ("chip_id_masked", text(report.chip_id_masked)),
        ("report_data", bytes(report.report_data)),
        ("measurement", bytes(report.measurement)),
        ("host_data", bytes(report.host_data)),
        ("id_key_digest", bytes(report.id_key_digest)),
        ("report_id", bytes(report.report_id)),
        ("reported_tcb", tcb(report.reported_tcb)),
        ("current_tcb", tcb(report.current_tcb)),
        ("committed_tcb", tcb(report.committed_tcb)),
        ("launch_tcb", tcb(report.launch_tcb)),
        (
            "platform_info",
            text(format!("0x{:x}", report.platform_info)),
        ),
        ("signature", bytes(report.signature)),
    ]);
    Ok(("AMD SEV-SNP attestation report".into(), node))
}

pub(super) fn tdx(raw: &[u8]) -> Shown {
    let quote = Quote::parse(raw)?;
    let td = &quote.report;
    let rtmr = td.rtmr.iter().map(bytes);
    let mut report = Node::branch([
        ("kind", text(td.kind.name())),
        ("tcb_svn", bytes(td.tcb_svn)),
        ("mr_seam", bytes(td.mr_seam)),
        ("mr_signer_seam", bytes(td.mr_signer_seam)),
        ("seam_attributes", bytes(td.seam_attributes)),
        ("attributes", text(format!("0x{:x}", td.attributes.0))),
        ("debug", text(td.attributes.debug())),
        ("sept_ve_disable", text(td.attributes.sept_ve_disable())),
        ("xfam", text(format!("0x{:x}", td.xfam))),
        ("mr_td", bytes(td.mr_td)),
        ("mr_config_id", bytes(td.mr_config_id)),
        ("mr_owner", bytes(td.mr_owner)),
        ("mr_owner_config", bytes(td.mr_owner_config)),
        ("rtmr", Node::list(rtmr)),
        ("report_data", bytes(td.report_data)),
    ]);
    if let Some(more) = &td.td15 {
        report = report
            .with("current_tcb_svn", bytes(more.current_tcb_svn))
            .with("mr_service_td", bytes(more.mr_service_td));
    }
    let qe = &quote.qe_report;
    let enclave = Node::branch([
        ("mr_enclave", bytes(qe.mr_enclave)),
        ("mr_signer", bytes(qe.mr_signer)),
        ("product_id", text(qe.product_id)),
        ("security_version", text(qe.security_version)),
        ("attributes", bytes(qe.attributes)),
        ("report_data", bytes(qe.report_data)),
    ]);
    let certification = match quote.certification {
        Certification::Chain(pem) => {
            let end = pem
                .iter()
                .rposition(|byte| *byte != 0)
                .map_or(0, |at| at + 1);
            x509::pem(&pem[..end]).map_or_else(text, |(_, node)| node)
        }
        Certification::Reference(kind) => text(format!("not in the quote, type {kind}")),
    };
    let node = Node::branch([
        ("version", text(quote.version)),
        ("user_data", bytes(quote.user_data)),
        ("td_report", report),
        ("attestation_key", bytes(quote.attestation_key)),
        ("signature", bytes(quote.signature)),
        ("quoting_enclave", enclave),
        ("certification", certification),
        ("bytes", text(quote.length)),
        ("bytes_after_the_quote", text(quote.trailing)),
    ]);
    Ok(("Intel TDX quote".into(), node))
}

pub(super) fn hcl(raw: &[u8]) -> Shown {
    let hcl = HclReport::parse(raw)?;
    let (name, hardware) = match hcl.hardware {
        Hardware::SevSnp(report) => ("sev_snp_report", sev_snp(report)?.1),
        Hardware::Tdx(report) => ("td_report", bytes(report)),
    };
    let runtime = serde_json::from_slice(hcl.runtime_data).map_or_else(
        |_| bytes(hcl.runtime_data),
        |json| super::json::value(&json),
    );
    let node = Node::branch([(name, hardware), ("runtime_data", runtime)]);
    Ok(("report of Azure's paravisor (HCL)".into(), node))
}

pub(super) fn tpm(raw: &[u8]) -> Shown {
    let quote = TpmQuote::parse(raw)?;
    let node = Node::branch([
        ("nonce", bytes(quote.nonce)),
        ("pcr_digest", bytes(quote.pcr_digest)),
        ("reset_count", text(quote.reset_count)),
    ]);
    Ok(("TPM quote".into(), node))
}
