//! A wave of spam: 10,000 messages and subscription requests of 500 accounts at 50 domains, at a house with 50 accounts.

use std::collections::BTreeMap;

use kim_core::testing::{Client, House, Neighbour};

use super::{Became, SentByStranger, Story, got, having, heard, say, stories, text};

const ACCOUNTS: usize = 50;
const DOMAINS: usize = 50;
const SENDERS_PER_DOMAIN: usize = 10;
const STANZAS: usize = 10_000;
/// Stanzas of the wave within a second.
const PER_SECOND: usize = 16;

/// Texts as waves have them: a few templates in which names, numbers and links change, and some without a link.
const TEMPLATES: [&str; 6] = [
    "Hi {name}, earn {number} USD a day from home! Register at https://{domain}/ref/{number}",
    "{name}! Your wallet was credited with {number} BTC. Confirm within 24 hours: http://claim.{domain}/{number}",
    "Cheap accounts, proxies and cards, best prices since {number}. Write to our manager sale{number} on telegram",
    "Hello {name}, I saw your profile and liked it very much, I am {number} years old and looking for a serious man",
    "URGENT: this server will be closed on the {number}th, move your account to {domain} today or lose your messages",
    "Buy traffic {number}k hits, www.{domain}, ask for a discount",
];

/// The same numbers at every run, without a pattern that the rules could rest on.
struct Dice(u64);

impl Dice {
    fn below(&mut self, bound: usize) -> usize {
        self.0 = self
            .0
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) as usize % bound
    }
}

fn spam(dice: &mut Dice) -> (usize, String) {
    let domain = dice.below(DOMAINS);
    let from = format!("bot{}@spam{domain}.example", dice.below(SENDERS_PER_DOMAIN));
    let name = format!("user{}", dice.below(ACCOUNTS));
    let number = dice.below(90) + 10;
    let template = TEMPLATES[dice.below(TEMPLATES.len())];
    let body = template
        .replace("{name}", &name)
        .replace("{number}", &number.to_string())
        .replace("{domain}", &format!("spam{domain}.example"));
    let stanza = match dice.below(10) {
        0..4 => format!(
            "<presence from='{from}' to='{name}@localhost' type='subscribe'><status>{body}</status></presence>"
        ),
        _ => text(&format!("{from}/x"), &format!("{name}@localhost"), "spam", &body),
    };
    (domain, stanza)
}

/// What the people of the house see.
#[derive(Default)]
struct Seen {
    spam_messages: usize,
    spam_requests: usize,
    honest: usize,
    notices: usize,
}

fn look(clients: &mut [Client], seen: &mut Seen) {
    for client in clients {
        for stanza in got(client) {
            let is_spam = stanza.contains("@spam");
            seen.spam_messages += usize::from(is_spam && stanza.starts_with("<message"));
            seen.spam_requests += usize::from(is_spam && stanza.starts_with("<presence"));
            seen.honest += usize::from(stanza.contains("@honest"));
            seen.notices += usize::from(stanza.starts_with("<message from='localhost'"));
        }
    }
}

async fn neighbours(house: &House) -> Vec<Neighbour> {
    (0..DOMAINS)
        .map(|n| house.neighbour(&format!("spam{n}.example")))
        .collect()
}

/// Somebody unknown at a small domain writes for the first time.
async fn honest(house: &House, n: usize) -> String {
    let domain = format!("honest{n}.example");
    let mut there = house.neighbour(&domain);
    let body = format!("Hello, this is Rosaline. We met at the ball on day {n}, you lost a glove there.");
    say(
        &mut there,
        &text(&format!("rosaline@{domain}/x"), "user7@localhost", "hello", &body),
    )
    .await;
    assert!(heard(&mut there).is_empty(), "nobody is refused");
    domain
}

async fn rows(story: &Story, sql: &'static str) -> i64 {
    let row = story
        .house
        .db
        .fetch_optional(kim_core::db::Query::new(sql))
        .await
        .unwrap()
        .unwrap();
    row.i64(0).unwrap()
}

/// What came first looks like anybody, because there is nothing to compare it with: by default two first contacts from unknown
/// domains pass, unless there is a link in them, before the third shows that a wave runs.
#[tokio::test]
async fn a_wave_reaches_no_inbox_and_an_honest_stranger_does() {
    ride("", 2).await;
}

/// Where what comes from unknown domains always waits, not even these pass.
#[tokio::test]
async fn nothing_of_a_wave_passes_where_unknown_domains_always_wait() {
    ride("[strangers]\ndelay_unknown = \"always\"\n", 0).await;
}

async fn ride(toml: &str, residue_max: usize) {
    for story in stories(toml).await {
        let house = &story.house;
        let mut clients = Vec::new();
        for n in 0..ACCOUNTS {
            match n % 2 {
                0 => drop(house.account(&format!("user{n}@localhost")).await),
                _ => clients.push(house.online(&format!("user{n}@localhost/phone")).await),
            }
        }
        // Two who know each other, across servers.
        let mut friends = house.neighbour("friends.example");
        clients[0]
            .send("<message to='friend@friends.example' type='chat'><body>hi</body></message>")
            .await;
        friends.skip();

        let mut seen = Seen::default();
        let is_patient = residue_max == 0;
        honest(house, 0).await;
        story.after(if is_patient { 61 } else { 0 }).await;
        look(&mut clients, &mut seen);
        assert_eq!(seen.honest, 1, "before the wave");
        house.clock.advance(3_600);

        let mut there = neighbours(house).await;
        let mut dice = Dice(42);
        let mut friendly = 0;
        for n in 0..STANZAS {
            let (domain, stanza) = spam(&mut dice);
            say(&mut there[domain], &stanza).await;
            if n % PER_SECOND == 0 {
                story.after(1).await;
            }
            if n % 1_000 == 500 {
                // Somebody known sends what he likes, and it is there at once.
                say(
                    &mut friends,
                    &text(
                        "friend@friends.example/x",
                        "user1@localhost",
                        &format!("f{n}"),
                        "https://example.org/cat",
                    ),
                )
                .await;
                friendly += having(&got(&mut clients[0]), "example.org/cat");
            }
            if n == STANZAS / 2 {
                honest(house, 1).await;
            }
        }
        assert_eq!(
            friendly,
            STANZAS / 1_000,
            "people who know each other notice nothing"
        );
        story.after(120).await;
        look(&mut clients, &mut seen);
        assert_eq!(seen.honest, 2, "during the wave it comes a minute later");

        house.clock.advance(3_600);
        honest(house, 2).await;
        story.after(if is_patient { 61 } else { 0 }).await;
        look(&mut clients, &mut seen);
        assert_eq!(seen.honest, 3, "and after it");

        let counters = story.counters();
        let figures: BTreeMap<String, u64> = counters
            .all()
            .filter(|(_, _, count)| *count > 0)
            .map(|(sent, became, count)| (format!("{sent} {became}"), count))
            .collect();
        let mut refused = 0;
        for there in &mut there {
            refused += having(&heard(there), "type='error'");
        }
        // Who was away finds no more than who was there: nothing waits offline, nothing is archived, no request is pending.
        let offline = rows(
            &story,
            "SELECT COUNT(*) FROM im_offline WHERE account NOT IN (SELECT account FROM strangers_accounts)",
        )
        .await;
        let pending = rows(
            &story,
            "SELECT COUNT(*) FROM im_roster WHERE contact LIKE '%@spam%'",
        )
        .await;
        let held = rows(&story, "SELECT COUNT(*) FROM strangers_requests").await;
        let mut reached = 0;
        for n in (0..ACCOUNTS).step_by(2) {
            let mut client = house.connect(&format!("user{n}@localhost/phone")).await;
            client.send("<presence/>").await;
            let came = got(&mut client);
            // Requests were counted as pending.
            reached += came
                .iter()
                .filter(|stanza| stanza.starts_with("<message") && stanza.contains("@spam"))
                .count();
        }
        println!(
            "wave: {STANZAS} stanzas: {held} held in {ACCOUNTS} request boxes, {refused} refused with an error; \
             {} messages and {} requests reached somebody online, {reached} somebody away, {pending} pending, {offline} offline; \
             {} notices; {figures:?}",
            seen.spam_messages, seen.spam_requests, seen.notices
        );
        let residue = seen.spam_messages + usize::try_from(pending).unwrap() + reached;
        let of = |sent, became| counters.of(sent, became);
        assert!(residue <= residue_max, "{residue} of {STANZAS}: {figures:?}");
        assert!(seen.notices <= ACCOUNTS / 2, "one a day at most");
        // Everything was counted once when it came; what had to wait was judged again.
        let came = |became| of(SentByStranger::Message, became) + of(SentByStranger::Subscription, became);
        let delayed = came(Became::Delayed);
        assert!(delayed > 0 && came(Became::Limited) > 0, "{figures:?}");
    }
}
