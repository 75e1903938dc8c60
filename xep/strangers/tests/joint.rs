//! Another module tightens what this one judged.

use kim_core::config::NoSettings;
use kim_core::cx::Cx;
use kim_core::error::{Condition, Fault, StanzaError};
use kim_core::hook::{Flow, On, Stage};
use kim_core::module::{Entry, Module, Registrar, Spec};

use super::{Became, SentByStranger, got, having, heard, say, stories_with, text};
use crate::MODULES;
use crate::strangers::api::{Judgement, StrangerArrival};

/// A module with opinions on senders.
struct Opinions;

impl Module for Opinions {
    type Config = NoSettings;
    const NAME: &'static str = "opinions";
    const SPECS: &'static [Spec] = &[];
    const NEEDS: &'static [&'static str] = &["strangers"];

    fn register(_: NoSettings, house: &mut Registrar<'_>) -> Result<(), Fault> {
        house.on::<StrangerArrival>(Stage::Admit, Opinions);
        Ok(())
    }
}

impl On<StrangerArrival> for Opinions {
    async fn on(&self, arrival: &mut StrangerArrival, _: &mut Cx) -> Result<Flow, Fault> {
        match arrival.sender.local().unwrap_or_default() {
            "suspect" => arrival.tighten(Judgement::Hold),
            "villain" => arrival.tighten(Judgement::Refuse),
            // Milder than this module's own, it counts for nothing.
            "darling" => arrival.judgement = Judgement::Accept,
            "listed" => {
                return Err(StanzaError::new(Condition::Forbidden)
                    .text("you are on a list")
                    .into());
            }
            _ => {}
        }
        Ok(Flow::Next)
    }
}

#[tokio::test]
async fn a_module_tightens_and_cannot_loosen() {
    let modules: Vec<Entry> = MODULES.iter().copied().chain([Entry::of::<Opinions>()]).collect();
    for story in stories_with(&modules, "[strangers]\ndelay_unknown = \"never\"\n").await {
        let house = &story.house;
        let mut alice = house.online("alice@localhost/phone").await;
        let mut there = house.neighbour("example.org");
        for (name, body, delivered, error) in [
            ("romeo", "hi", 1, ""),
            ("suspect", "hi", 0, ""),
            ("villain", "hi", 0, "<policy-violation "),
            ("darling", "https://x.example/", 0, ""),
            ("listed", "hi", 0, "you are on a list"),
        ] {
            let from = format!("{name}@example.org/x");
            say(&mut there, &text(&from, "alice@localhost", "m", body)).await;
            assert_eq!(
                having(&got(&mut alice), &format!("from='{from}'")),
                delivered,
                "{name}"
            );
            let answers = heard(&mut there);
            assert_eq!(
                answers.len(),
                usize::from(!error.is_empty()),
                "{name}: {answers:?}"
            );
            assert_eq!(having(&answers, error), answers.len(), "{name}");
        }
        assert_eq!(story.count(SentByStranger::Message, Became::Held), 2);
        house.clock.advance(3_600);
        // It judges requests as well. What it holds comes to the box, what it refuses is dropped.
        for name in ["suspect", "villain"] {
            say(
                &mut there,
                &format!("<presence from='{name}@example.org' to='alice@localhost' type='subscribe'/>"),
            )
            .await;
        }
        alice.expect_nothing();
        assert!(heard(&mut there).is_empty());
        assert_eq!(story.count(SentByStranger::Subscription, Became::Held), 1);
        assert_eq!(story.count(SentByStranger::Subscription, Became::Refused), 1);
    }
}
