//! Forms as clients fill them in.

use kim_core::error::Condition;
use kim_core::wire::Element;

use super::api::{Form, FormKind, Sheet};

fn read(xml: &str) -> Result<Form, Condition> {
    let request = Element::parse(&format!("<configure xmlns='urn:x'>{xml}</configure>")).unwrap();
    Form::submitted(request.el(), "urn:settings")
        .map(Option::unwrap)
        .map_err(|error| error.condition())
}

fn submit(fields: &str) -> String {
    format!("<x xmlns='jabber:x:data' type='submit'>{fields}</x>")
}

#[test]
fn a_form_is_read_field_by_field() {
    let form = read(&submit(
        "<field var='FORM_TYPE' type='hidden'><value>urn:settings</value></field>
         <field var='open'><value>true</value></field>
         <field var='about'><value>one &lt;</value><value>two</value></field>
         <field var='empty'/><field type='fixed'><value>words</value></field>",
    ))
    .unwrap();
    assert_eq!(form.kind, FormKind::Submit);
    assert_eq!(form.vars().collect::<Vec<_>>(), ["open", "about", "empty"]);
    assert_eq!(form.boolean("open"), Ok(Some(true)));
    assert_eq!(form.boolean("closed"), Ok(None));
    assert_eq!(form.text("about").as_deref(), Some("one <\ntwo"));
    assert_eq!(form.values("empty"), Some(&[][..]));
    assert_eq!(form.value("empty"), None);
    assert!(form.boolean("about").is_err());
}

#[test]
fn a_form_of_another_type_or_kind_is_refused() {
    let other = submit("<field var='FORM_TYPE'><value>urn:other</value></field>");
    assert_eq!(read(&other), Err(Condition::BadRequest));
    assert_eq!(
        read("<x xmlns='jabber:x:data' type='odd'/>"),
        Err(Condition::BadRequest)
    );
    assert_eq!(read("<x xmlns='jabber:x:data'/>"), Err(Condition::BadRequest));
    // Clients that leave it out mean the one that fits.
    assert!(read(&submit("")).is_ok());
}

#[test]
fn a_form_without_end_is_refused() {
    let fields: String = (0..257).map(|n| format!("<field var='{n}'/>")).collect();
    assert_eq!(read(&submit(&fields)), Err(Condition::ResourceConstraint));
    let values = "<value/>".repeat(4_097);
    let field = submit(&format!("<field var='a'>{values}</field>"));
    assert_eq!(read(&field), Err(Condition::ResourceConstraint));
}

#[test]
fn fields_with_several_values_say_so_in_results_too() {
    // Without a type a field has one value (§3.2), and Smack drops what is around it.
    let xml = Sheet::new(FormKind::Result, "urn:settings")
        .field("abuse-addresses", "list-multi", "", &["a", "b"])
        .lines("about", "", "one\ntwo")
        .jids("owners", "", ["a@b", "c@d"])
        .line("name", "", "x")
        .xml();
    for (var, kind) in [("abuse-addresses", "list"), ("about", "text"), ("owners", "jid")] {
        assert!(
            xml.contains(&format!("<field var='{var}' type='{kind}-multi'>")),
            "{xml}"
        );
    }
    assert!(
        xml.contains("<field var='name'><value>x</value></field>"),
        "{xml}"
    );
}

#[test]
fn the_values_of_a_list_are_among_its_options() {
    let options = [("a", "A"), ("b", "B")];
    let sheet = |value| {
        Sheet::new(FormKind::Form, "urn:settings")
            .choice("who", "Who", value, &options)
            .xml()
    };
    let head = "<field var='who' type='list-single' label='Who'>";
    let offered =
        "<option label='A'><value>a</value></option><option label='B'><value>b</value></option></field>";
    assert!(sheet("b").contains(&format!("{head}<value>b</value>{offered}")));
    assert!(sheet("").contains(&format!("{head}{offered}")));
    let own = "<option label='c'><value>c</value></option>";
    assert!(sheet("c").contains(&format!("{head}<value>c</value>{own}{offered}")));
    let several = Sheet::new(FormKind::Form, "urn:settings")
        .several("who", "Who", &["b", "c"], &options)
        .xml();
    assert!(
        several.contains(&format!("<value>b</value><value>c</value>{own}{offered}")),
        "{several}"
    );
}

#[test]
fn what_is_shown_can_be_read_again() {
    let xml = Sheet::new(FormKind::Form, "urn:settings")
        .title("Settings <1>")
        .boolean("open", "Open?", true)
        .lines("about", "About", "one\ntwo")
        .choice("who", "Who", "all", &[("all", "Everybody"), ("some", "Some")])
        .xml();
    let element = Element::parse(&xml).unwrap();
    let form = Form::read(element.el()).unwrap();
    assert_eq!(form.value("FORM_TYPE"), Some("urn:settings"));
    assert_eq!(form.boolean("open"), Ok(Some(true)));
    assert_eq!(form.text("about").as_deref(), Some("one\ntwo"));
    assert_eq!(form.value("who"), Some("all"));
    assert!(xml.contains(
        "<field var='who' type='list-single' label='Who'><value>all</value><option label='Everybody'>"
    ));
    // A result says no more than the values.
    let result = Sheet::new(FormKind::Result, "urn:settings")
        .boolean("open", "", false)
        .xml();
    assert!(
        result.ends_with("<field var='open'><value>0</value></field></x>"),
        "{result}"
    );
}
