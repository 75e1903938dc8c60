//! Server dialback (XEP-0220): what is read survives being written again.

use kim::s2s::dialback::{self, Dialback};
use kim_core::wire::Element;

pub fn check(data: &[u8]) {
    let Some(element) = super::element(data) else {
        return;
    };
    let Some(Ok(read)) = Dialback::read(&element) else {
        return;
    };
    let written = match &read {
        Dialback::Key(addresses, key) => dialback::key(addresses, key),
        Dialback::Question(addresses, id, key) => dialback::question(addresses, id, key),
        Dialback::Answer(addresses, id, verdict) => dialback::answer(addresses, id, verdict),
        Dialback::Result(addresses, verdict) => dialback::result(addresses, verdict),
    };
    let (open, bound) = ("<db:", format!("<db:{} xmlns:db='{}'", name(&read), dialback::NS));
    let bound = written.replacen(&format!("{open}{}", name(&read)), &bound, 1);
    let again = Element::parse(&bound).expect("what is written is well-formed");
    let again = Dialback::read(&again).expect("dialback").expect("right");
    // An error without a known condition is written as one with.
    let is_vague = |verdict: &dialback::Verdict| *verdict == dialback::Verdict::Error(None);
    match (&read, &again) {
        (Dialback::Answer(to, id, verdict), Dialback::Answer(to_again, id_again, _)) if is_vague(verdict) => {
            assert_eq!((to, id), (to_again, id_again));
        }
        (Dialback::Result(to, verdict), Dialback::Result(to_again, _)) if is_vague(verdict) => {
            assert_eq!(to, to_again);
        }
        _ => assert_eq!(read, again),
    }
}

fn name(read: &Dialback) -> &'static str {
    match read {
        Dialback::Key(..) | Dialback::Result(..) => "result",
        Dialback::Question(..) | Dialback::Answer(..) => "verify",
    }
}
