//! The model behind its API: the buyer asks it, having checked who answers; nobody else is answered.

use alloy::primitives::B256;
use anyhow::{Context, Result, anyhow, ensure};
use vouch_client::Placed;
use vouch_client::call::Ask;

use super::super::children::AgentStep;
use super::super::job;
use super::Stage;
use crate::call::{Endpoint, attested_key};

impl Stage<'_> {
    /// Calls the session that has just begun to serve.
    pub(super) async fn call(&mut self, placed: &Placed, step: &AgentStep) -> Result<()> {
        let address = step.details["address"].as_str();
        let url = format!("https://{}", address.context("serving without an address")?);
        let anchors = crate::verify::simulator_anchors().map_err(|error| anyhow!("{error}"))?;
        let oracle = &self.oracles[0].url;
        let key = attested_key(&self.market, placed.order, oracle, &anchors).await?;
        let session = Endpoint {
            url: &url,
            key,
            order: placed.order,
        };
        let request = job::QUESTIONS.join("\n").into_bytes();
        let buyer = &self.cast.buyer.signer;

        let key = B256::repeat_byte(9);
        let forger = Endpoint { key, ..session };
        let refused = forger.ask(Ask::Infer, buyer, 1, request.clone()).await;
        ensure!(
            refused.is_err(),
            "API: an endpoint with another key was asked"
        );
        let stranger = &self.cast.model.signer;
        let refused = session.ask(Ask::Infer, stranger, 1, request.clone()).await;
        ensure!(refused.is_err(), "API: another than the buyer was answered");

        let answer = session.ask(Ask::Infer, buyer, 2, request).await?;
        let answer = String::from_utf8(answer.body).context("API: expected text")?;
        self.answers = answer.lines().map(str::to_owned).collect();
        // Who learnt from less may be wrong.
        ensure!(
            self.answers == job::ANSWERS || self.settings.poor_dataset,
            "API: expected {:?}, found {:?}",
            job::ANSWERS,
            self.answers
        );
        let mut note = "over TLS with the attested key";
        for (question, answer) in job::QUESTIONS.iter().zip(&self.answers) {
            let text = format!("asks the model: \"{question}\" is {answer}");
            self.screen.line(&self.cast.buyer.name, &text, note);
            note = "";
        }
        Ok(())
    }
}
