//! The verification string (XEP-0115 §5), by the examples of the text and by what makes an answer ill-formed.

use kim_core::wire::Element;

use crate::xep0115_caps::verify::{Algorithm, Said};

const SIMPLE: &str = "<identity category='client' name='Exodus 0.9.1' type='pc'/>
    <feature var='http://jabber.org/protocol/caps'/><feature var='http://jabber.org/protocol/muc'/>
    <feature var='http://jabber.org/protocol/disco#info'/><feature var='http://jabber.org/protocol/disco#items'/>";

const FORM: &str = "<x xmlns='jabber:x:data' type='result'>
      <field var='FORM_TYPE' type='hidden'><value>urn:xmpp:dataforms:softwareinfo</value></field>
      <field var='ip_version' type='text-multi'><value>ipv6</value><value>ipv4</value></field>
      <field var='software_version'><value>0.11</value></field>
      <field var='os_version'><value>10.5.1</value></field>
      <field var='software'><value>Psi</value></field>
      <field var='os'><value>Mac</value></field>
    </x>";

fn read(inner: &str) -> Option<Said> {
    let query = format!("<query xmlns='http://jabber.org/protocol/disco#info'>{inner}</query>");
    Said::read(Element::parse(&query).unwrap().el())
}

fn complex() -> String {
    let simple = SIMPLE.split_once("/>").unwrap().1;
    format!(
        "{FORM}<identity xml:lang='en' category='client' name='Psi 0.11' type='pc'/>
         <identity xml:lang='el' category='client' name='Ψ 0.11' type='pc'/>{simple}"
    )
}

#[test]
fn the_examples_of_the_text() {
    // §5.2
    let simple = read(SIMPLE).unwrap();
    assert_eq!(simple.hash(Algorithm::Sha1), "QgayPKawpkPSDYmwT/WM94uAlu0=");
    assert!(simple.is_unmistakable());
    // §5.3; the order on the wire plays no part.
    let complex = read(&complex()).unwrap();
    assert_eq!(complex.hash(Algorithm::Sha1), "q07IKJEyjvHSyhy//CH0CxmKi8w=");
    assert!(complex.is_unmistakable());
    assert_ne!(complex.hash(Algorithm::Sha256), complex.hash(Algorithm::Sha1));
}

#[test]
fn answers_that_are_ill_formed_say_nothing() {
    for (why, extra) in [
        // §5.4 step 3.3
        (
            "an identity twice",
            "<identity category='client' name='Exodus 0.9.1' type='pc'/>",
        ),
        // step 3.4
        (
            "a feature twice",
            "<feature var='http://jabber.org/protocol/muc'/>",
        ),
        // step 3.5
        ("a form twice", &format!("{FORM}{FORM}")),
        (
            "a form of two types",
            "<x xmlns='jabber:x:data'><field var='FORM_TYPE' type='hidden'><value>a</value><value>b</value></field></x>",
        ),
        // XEP-0030 §3.1
        ("a feature without a name", "<feature/>"),
        ("an identity without a type", "<identity category='client'/>"),
    ] {
        assert!(read(&format!("{SIMPLE}{extra}")).is_none(), "{why}");
    }
    assert!(read("").is_none(), "no identity");
    assert!(read("<feature var='a'/>").is_none(), "no identity");
}

#[test]
fn forms_without_a_hidden_type_are_ignored() {
    // §5.4 step 3.6
    for form in [
        "<x xmlns='jabber:x:data'><field var='os'><value>Mac</value></field></x>",
        "<x xmlns='jabber:x:data'><field var='FORM_TYPE'><value>urn:a</value></field></x>",
        "<x xmlns='jabber:x:data'><field var='FORM_TYPE' type='hidden'/></x>",
        "<y xmlns='urn:unheard-of'/>",
    ] {
        assert_eq!(
            read(&format!("{SIMPLE}{form}")).unwrap().hash(Algorithm::Sha1),
            "QgayPKawpkPSDYmwT/WM94uAlu0="
        );
    }
}

#[test]
fn an_escaped_angle_bracket_stays_what_it_is() {
    // §5.1, note: `&lt;` as four characters must not turn into the separator.
    let name =
        "<identity category='client' type='pc' name='SomeClient&amp;lt;http://jabber.org/protocol/muc'/>";
    let split = "<identity category='client' type='pc' name='SomeClient'/><feature var='http://jabber.org/protocol/muc'/>";
    assert_ne!(
        read(name).unwrap().hash(Algorithm::Sha1),
        read(split).unwrap().hash(Algorithm::Sha1)
    );
}

#[test]
fn answers_with_the_string_of_another_are_not_taken_for_it() {
    // §9.3: each of these hashes like the honest answer above it, and hides or invents features.
    let honest =
        "<identity category='client' type='pc' name='A'/><feature var='http://x/y/z'/><feature var='urn:a'/>
                  <feature var='urn:b'/>";
    let hash = read(honest).unwrap().hash(Algorithm::Sha1);
    for forged in [
        // A separator within a name.
        "<identity category='client' type='pc' name='A&lt;http://x/y/z'/><feature var='urn:a'/><feature var='urn:b'/>",
        // A separator within a feature.
        "<identity category='client' type='pc' name='A'/><feature var='http://x/y/z&lt;urn:a'/><feature var='urn:b'/>",
        // Features in a form.
        "<identity category='client' type='pc' name='A'/><feature var='http://x/y/z'/>
         <x xmlns='jabber:x:data'><field var='FORM_TYPE' type='hidden'><value>urn:a</value></field><field var='urn:b'/></x>",
        // A feature as an identity.
        "<identity category='client' type='pc' name='A'/><identity category='http:' type='' xml:lang='x' name='y/z'/>
         <feature var='urn:a'/><feature var='urn:b'/>",
    ] {
        let said = read(forged).unwrap();
        assert_eq!(said.hash(Algorithm::Sha1), hash, "{forged}");
        assert!(!said.is_unmistakable(), "{forged}");
    }
    // The identity as a feature leaves none.
    assert!(
        read("<feature var='client/pc//A'/><feature var='http://x/y/z'/><feature var='urn:a'/>").is_none()
    );
}
