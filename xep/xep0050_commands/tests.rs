//! Stories of commands: a wizard with two pages, one shot for the operator, and what people try who should not.

use kim_core::config::NoSettings;
use kim_core::cx::Cx;
use kim_core::error::Fault;
use kim_core::module::{At, Entry, Module, Registrar, Spec};
use kim_core::testing::{Client, House};

use super::AdHocCommands;
use super::api::{
    Command, CommandOutcome, CommandStep, Commands, MayUse, Severity, Step, bad_payload, needed,
};
use crate::rfc6121_im::Im;
use crate::xep0004_forms::DataForms;
use crate::xep0004_forms::api::{FormKind, Sheet};
use crate::xep0030_disco::Disco;
use crate::xep0359_ids::StanzaIds;

const MODULES: &[Entry] = &[
    Entry::of::<StanzaIds>(),
    Entry::of::<Im>(),
    Entry::of::<DataForms>(),
    Entry::of::<crate::xep0059_rsm::ResultSets>(),
    Entry::of::<Disco>(),
    Entry::of::<AdHocCommands>(),
    Entry::of::<Toy>(),
];

/// A module with commands: the example of §2.4.2, one for the operator, one of the account's own.
struct Toy;

impl Module for Toy {
    type Config = NoSettings;
    const NAME: &'static str = "toy";
    const SPECS: &'static [Spec] = &[];
    const NEEDS: &'static [&'static str] = &["xep0050_commands"];

    fn register(_: NoSettings, house: &mut Registrar<'_>) -> Result<(), Fault> {
        let commands = house.needed::<Commands>()?;
        commands.add(
            At::Server,
            "config",
            "Configure Service",
            MayUse::Accounts,
            Wizard,
        );
        commands.add(At::Server, "stop", "Stop Service", MayUse::Admins, Stop);
        commands.add(At::Own, "mine", "Look at mine", MayUse::Accounts, Stop);
        house.service("toys");
        commands.add(At::Service("toys"), "play", "Play", MayUse::Accounts, Stop);
        Ok(())
    }
}

struct Wizard;

impl Command for Wizard {
    async fn step(&self, turn: &CommandStep<'_>, _: &mut Cx) -> Result<Step, Fault> {
        let sheet = || Sheet::new(FormKind::Form, "urn:toy");
        match turn.forms {
            [] => Ok(Step::Ask {
                form: sheet().required().line("service", "Service", "").xml(),
                last: false,
            }),
            [first] => match needed(first, "service")? {
                "nothing" => Err(bad_payload("there is no such service")),
                service => Ok(Step::Ask {
                    form: sheet().title(service).line("state", "Run state", "off").xml(),
                    last: true,
                }),
            },
            [first, second, ..] => {
                let what = format!("{} is {}", needed(first, "service")?, needed(second, "state")?);
                Ok(Step::Done(CommandOutcome::default().note(Severity::Info, what)))
            }
        }
    }
}

struct Stop;

impl Command for Stop {
    async fn step(&self, turn: &CommandStep<'_>, _: &mut Cx) -> Result<Step, Fault> {
        let text = format!("{} did", turn.asker.bare());
        let form = Sheet::new(FormKind::Result, "urn:toy")
            .line("who", "", &text)
            .xml();
        Ok(Step::Done(CommandOutcome::form(form)))
    }
}

fn execute(node: &str) -> String {
    command(node, None, "", "")
}

fn command(node: &str, session: Option<&str>, action: &str, inner: &str) -> String {
    let session = session.map(|id| format!(" sessionid='{id}'")).unwrap_or_default();
    let action = match action {
        "" => String::new(),
        action => format!(" action='{action}'"),
    };
    format!(
        "<iq id='c' to='localhost' type='set'><command xmlns='http://jabber.org/protocol/commands' \
         node='{node}'{session}{action}>{inner}</command></iq>"
    )
}

fn form(fields: &[(&str, &str)]) -> String {
    let fields: String = fields
        .iter()
        .map(|(var, value)| format!("<field var='{var}'><value>{value}</value></field>"))
        .collect();
    format!("<x xmlns='jabber:x:data' type='submit'>{fields}</x>")
}

async fn answer(client: &mut Client, xml: &str) -> String {
    client.send(xml).await;
    client.next().expect("an answer")
}

/// Sends a step and expects this error, with this specific condition.
async fn refused(client: &mut Client, xml: &str, condition: &str, detail: &str) {
    let got = answer(client, xml).await;
    assert!(got.contains(&format!("<{condition} ")), "{got}");
    let detail = format!("<{detail} xmlns='http://jabber.org/protocol/commands'/>");
    assert!(detail.starts_with("< ") || got.contains(&detail), "{got}");
}

fn session_of(answer: &str) -> String {
    let (_, rest) = answer.split_once("sessionid='").expect("a session");
    rest.split('\'').next().unwrap_or_default().to_owned()
}

async fn begin(client: &mut Client) -> String {
    let page = answer(client, &execute("config")).await;
    assert!(page.contains("status='executing'"), "{page}");
    session_of(&page)
}

#[tokio::test]
async fn a_wizard_goes_forth_and_back_and_ends() {
    // §2.4.2, §3.4.
    let house = House::new(MODULES).await;
    let mut alice = house.connect("alice@localhost/phone").await;
    let page = answer(&mut alice, &execute("config")).await;
    assert!(
        page.contains("<actions execute='next'><next/></actions>"),
        "{page}"
    );
    assert!(
        page.contains("<required/>") && page.contains("xml:lang='en'"),
        "{page}"
    );
    let id = session_of(&page);
    let step = |action: &str, fields: &[(&str, &str)]| command("config", Some(&id), action, &form(fields));
    let page = answer(&mut alice, &step("", &[("service", "httpd")])).await;
    assert!(
        page.contains("<actions execute='complete'><prev/><complete/></actions>"),
        "{page}"
    );
    assert_eq!(session_of(&page), id);
    let page = answer(&mut alice, &command("config", Some(&id), "prev", "")).await;
    assert!(
        page.contains("<actions execute='next'><next/></actions>"),
        "{page}"
    );
    let page = answer(&mut alice, &step("next", &[("service", "jabberd")])).await;
    assert!(page.contains("<title>jabberd</title>"), "{page}");
    let done = answer(&mut alice, &step("complete", &[("state", "on")])).await;
    assert!(
        done.contains("status='completed'") && done.contains("<note type='info'>jabberd is on</note>"),
        "{done}"
    );
    // §4.4: the session has ended.
    refused(
        &mut alice,
        &step("", &[("state", "on")]),
        "not-allowed",
        "session-expired",
    )
    .await;
}

#[tokio::test]
async fn a_session_that_is_cancelled_is_over() {
    // §2.4.3.
    let house = House::new(MODULES).await;
    let mut alice = house.connect("alice@localhost/phone").await;
    let id = begin(&mut alice).await;
    let gone = answer(&mut alice, &command("config", Some(&id), "cancel", "")).await;
    assert!(gone.contains("status='canceled'"), "{gone}");
    let again = command("config", Some(&id), "cancel", "");
    refused(&mut alice, &again, "not-allowed", "session-expired").await;
}

#[tokio::test]
async fn every_error_of_the_table_has_its_case() {
    // §4.4.
    let house = House::new(MODULES).await;
    let mut alice = house.connect("alice@localhost/phone").await;
    refused(&mut alice, &execute("nothing"), "item-not-found", "").await;
    refused(&mut alice, &execute(""), "bad-request", "").await;
    refused(&mut alice, &execute("stop"), "forbidden", "").await;
    let no_node =
        "<iq id='c' to='localhost' type='set'><command xmlns='http://jabber.org/protocol/commands'/></iq>";
    refused(&mut alice, no_node, "bad-request", "").await;
    let get = execute("config").replace("type='set'", "type='get'");
    refused(&mut alice, &get, "service-unavailable", "").await;
    refused(
        &mut alice,
        &command("config", None, "dance", ""),
        "bad-request",
        "malformed-action",
    )
    .await;
    refused(
        &mut alice,
        &command("config", None, "next", ""),
        "bad-request",
        "bad-action",
    )
    .await;
    for forged in ["", "x", "config:1", &"a".repeat(52), &"7".repeat(5_000)] {
        let step = command("config", Some(forged), "", &form(&[("service", "x")]));
        refused(&mut alice, &step, "bad-request", "bad-sessionid").await;
    }
    let id = begin(&mut alice).await;
    let step = |action: &str, inner: &str| command("config", Some(&id), action, inner);
    refused(
        &mut alice,
        &step("complete", &form(&[("service", "x")])),
        "bad-request",
        "bad-action",
    )
    .await;
    refused(&mut alice, &step("prev", ""), "bad-request", "bad-action").await;
    for garbage in [
        "",
        "<x xmlns='jabber:x:data'/>",
        "<x xmlns='jabber:x:data' type='dance'/>",
        "<x xmlns='jabber:x:data' type='form'/>",
        "<x xmlns='urn:other' type='submit'/>",
        "<x xmlns='jabber:x:data' type='submit'/>",
        "<x xmlns='jabber:x:data' type='submit'><field var='service'/></x>",
        "<x xmlns='jabber:x:data' type='submit'><field var='service'><value/></field></x>",
        "<x xmlns='jabber:x:data' type='submit'><field var='service'><value>nothing</value></field></x>",
    ] {
        refused(&mut alice, &step("next", garbage), "bad-request", "bad-payload").await;
    }
    let large = form(&[("service", &"x".repeat(70_000))]);
    refused(&mut alice, &step("next", &large), "bad-request", "bad-payload").await;
    let many = "<field var='a'/>".repeat(257);
    let many = format!("<x xmlns='jabber:x:data' type='submit'>{many}</x>");
    refused(&mut alice, &step("next", &many), "bad-request", "bad-payload").await;
    // After all that the session still stands where it stood (§3.5.1: cancelled forms count as submitted).
    let page = answer(
        &mut alice,
        &step("", &form(&[("service", "x")]).replace("submit", "cancel")),
    )
    .await;
    assert!(page.contains("<complete/>"), "{page}");
    refused(
        &mut alice,
        &step("next", &form(&[("state", "on")])),
        "bad-request",
        "bad-action",
    )
    .await;
}

#[tokio::test]
async fn nobody_goes_on_with_a_session_of_somebody_else() {
    // §3.3: valid only between one requester and one responder.
    let house = House::configured(MODULES, "[server]\ndomains = [\"localhost\", \"example.org\"]\n").await;
    let mut alice = house.connect("alice@localhost/phone").await;
    let mut laptop = house.connect("alice@localhost/laptop").await;
    let mut mallory = house.connect("mallory@localhost/web").await;
    let id = begin(&mut alice).await;
    let step = command("config", Some(&id), "", &form(&[("service", "x")]));
    refused(&mut mallory, &step, "bad-request", "bad-sessionid").await;
    refused(&mut laptop, &step, "bad-request", "bad-sessionid").await;
    let elsewhere = step.replace("to='localhost'", "to='example.org'");
    refused(&mut alice, &elsewhere, "bad-request", "bad-sessionid").await;
    let cancel = command("config", Some(&id), "cancel", "");
    refused(&mut mallory, &cancel, "bad-request", "bad-sessionid").await;
    assert!(answer(&mut alice, &step).await.contains("executing"));
}

#[tokio::test]
async fn a_thousand_open_sessions_are_ten() {
    let house = House::new(MODULES).await;
    let mut mallory = house.connect("mallory@localhost/web").await;
    let mut alice = house.connect("alice@localhost/phone").await;
    let hers = begin(&mut alice).await;
    let first = begin(&mut mallory).await;
    let mut last = String::new();
    for _ in 0..1_000 {
        last = begin(&mut mallory).await;
        house.clock.advance(1);
    }
    let step = |id: &str| command("config", Some(id), "", &form(&[("service", "x")]));
    refused(&mut mallory, &step(&first), "not-allowed", "session-expired").await;
    assert!(answer(&mut mallory, &step(&last)).await.contains("executing"));
    // Nobody else's was touched.
    assert!(answer(&mut alice, &step(&hers)).await.contains("executing"));
}

#[tokio::test]
async fn many_accounts_together_find_a_limit_and_idle_sessions_make_room() {
    let toml = "[xep0050_commands]\nsessions_max = 5\nsession_idle_seconds_max = 60\n";
    let house = House::configured(MODULES, toml).await;
    let mut crowd = Vec::new();
    for n in 0..5 {
        let mut one = house.connect(&format!("crowd{n}@localhost/web")).await;
        begin(&mut one).await;
        crowd.push(one);
    }
    let mut alice = house.connect("alice@localhost/phone").await;
    refused(&mut alice, &execute("config"), "resource-constraint", "").await;
    // Who leaves takes theirs along.
    crowd.remove(0).disconnect().await;
    let id = begin(&mut alice).await;
    house.clock.advance(61);
    let late = command("config", Some(&id), "", &form(&[("service", "x")]));
    refused(&mut alice, &late, "not-allowed", "session-expired").await;
    begin(&mut alice).await;
}

#[tokio::test]
async fn guests_see_and_may_nothing() {
    let house = House::new(MODULES).await;
    let mut ghost = house.guest("ghost@guest.localhost/web").await;
    let list = "<iq id='i' to='localhost' type='get'><query xmlns='http://jabber.org/protocol/disco#items' \
                node='http://jabber.org/protocol/commands'/></iq>";
    let got = answer(&mut ghost, list).await;
    assert!(!got.contains("<item"), "{got}");
    refused(&mut ghost, &execute("config"), "forbidden", "").await;
    refused(&mut ghost, &execute("stop"), "forbidden", "").await;
}

#[tokio::test]
async fn an_account_has_commands_of_its_own_and_nobody_elses() {
    let house = House::new(MODULES).await;
    let mut alice = house.connect("alice@localhost/phone").await;
    let mut bob = house.connect("bob@localhost/phone").await;
    let own = execute("mine").replace("to='localhost'", "to='alice@localhost'");
    assert!(answer(&mut alice, &own).await.contains("alice@localhost did"));
    refused(&mut bob, &own, "service-unavailable", "").await;
    let items = "<iq id='i' to='alice@localhost' type='get'><query xmlns='http://jabber.org/protocol/disco#items' \
                 node='http://jabber.org/protocol/commands'/></iq>";
    let got = answer(&mut alice, items).await;
    assert!(
        got.contains("<item jid='alice@localhost' node='mine' name='Look at mine'/>"),
        "{got}"
    );
    assert!(!answer(&mut bob, items).await.contains("mine"));
}

#[tokio::test]
async fn a_service_has_commands_of_its_own() {
    let house = House::new(MODULES).await;
    let mut alice = house.connect("alice@localhost/phone").await;
    let play = execute("play").replace("to='localhost'", "to='toys.localhost'");
    assert!(answer(&mut alice, &play).await.contains("alice@localhost did"));
    let items = "<iq id='i' to='toys.localhost' type='get'><query xmlns='http://jabber.org/protocol/disco#items' \
                 node='http://jabber.org/protocol/commands'/></iq>";
    let got = answer(&mut alice, items).await;
    assert!(
        got.contains("<item jid='toys.localhost' node='play' name='Play'/>"),
        "{got}"
    );
    let config = execute("config").replace("to='localhost'", "to='toys.localhost'");
    refused(&mut alice, &config, "item-not-found", "").await;
}

#[tokio::test]
async fn an_app_that_knows_the_first_form_sends_it_at_once() {
    let house = House::new(MODULES).await;
    let mut alice = house.connect("alice@localhost/phone").await;
    let form = |kind: &str, service: &str| {
        let field = format!("<field var='service'><value>{service}</value></field>");
        command(
            "config",
            None,
            "execute",
            &format!("<x xmlns='jabber:x:data' type='{kind}'>{field}</x>"),
        )
    };
    let got = answer(&mut alice, &form("submit", "httpd")).await;
    assert!(
        got.contains("<title>httpd</title>") && got.contains("execute='complete'"),
        "{got}"
    );
    refused(
        &mut alice,
        &form("submit", "nothing"),
        "bad-request",
        "bad-payload",
    )
    .await;
    refused(&mut alice, &form("result", "httpd"), "bad-request", "bad-payload").await;
}

#[tokio::test]
async fn discovery_shows_what_one_may_use() {
    // §2.2: "not required to send the same list of commands to all requesters".
    let house = House::new(MODULES).await;
    let mut alice = house.connect("alice@localhost/phone").await;
    let mut admin = house.connect("admin@localhost/desk").await;
    let items = "<iq id='i' to='localhost' type='get'><query xmlns='http://jabber.org/protocol/disco#items' \
                 node='http://jabber.org/protocol/commands'/></iq>";
    let got = answer(&mut alice, items).await;
    assert!(
        got.contains("node='config'") && !got.contains("node='stop'"),
        "{got}"
    );
    let got = answer(&mut admin, items).await;
    assert!(
        got.contains("node='config'") && got.contains("node='stop'"),
        "{got}"
    );
    let info = |node: &str| {
        format!(
            "<iq id='i' to='localhost' type='get'><query xmlns='http://jabber.org/protocol/disco#info' node='{node}'/></iq>"
        )
    };
    let got = answer(&mut alice, &info("config")).await;
    assert!(
        got.contains("<identity category='automation' type='command-node' name='Configure Service'/>")
            && got.contains("'jabber:x:data'"),
        "{got}"
    );
    let got = answer(&mut alice, &info("http://jabber.org/protocol/commands")).await;
    assert!(got.contains("type='command-list'"), "{got}");
    refused(&mut alice, &info("stop"), "forbidden", "").await;
    refused(&mut alice, &info("nothing"), "item-not-found", "").await;
    assert!(answer(&mut admin, &execute("stop")).await.contains("completed"));
}
