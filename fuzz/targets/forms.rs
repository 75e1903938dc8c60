//! Data forms that were filled in (XEP-0004).

use kim_core::wire::Element;
use kim_xep::xep0004_forms::api::{Form, FormKind, Sheet};

const FORM_TYPE: &str = "urn:example:form";
const KINDS: [FormKind; 4] = [
    FormKind::Form,
    FormKind::Submit,
    FormKind::Cancel,
    FormKind::Result,
];

pub fn check(data: &[u8]) {
    let Some(x) = super::element(data) else {
        return;
    };
    let read = Form::read(x.el());
    let request = Element::around("query", x.as_str());
    if let Ok(Some(submitted)) = Form::submitted(request.el(), FORM_TYPE) {
        assert_eq!(read.as_ref(), Ok(&submitted));
        assert!(submitted.value("FORM_TYPE").is_none_or(|own| own == FORM_TYPE));
    }
    let Ok(form) = read else {
        return;
    };
    assert!(
        form.vars().count() <= 256,
        "docs/security.md bounds what a form may have"
    );
    let mut vars: Vec<&str> = form.vars().collect();
    vars.sort_unstable();
    vars.dedup();
    assert!(
        vars.iter()
            .filter_map(|var| form.values(var))
            .map(<[String]>::len)
            .sum::<usize>()
            <= 4_096
    );
    for var in &vars {
        let values = form
            .values(var)
            .expect("a field that is there has values, maybe none");
        assert_eq!(form.value(var), values.first().map(String::as_str));
        assert_eq!(form.text(var), Some(values.join("\n")));
        match form.boolean(var) {
            Ok(value) => assert_eq!(value.is_some(), !values.is_empty()),
            Err(_) => assert!(!["0", "1", "true", "false"].contains(&values[0].as_str())),
        }
    }
    for kind in KINDS {
        written(&form, kind, &vars);
    }
}

/// The same fields in a form of our own come back as they were.
fn written(form: &Form, kind: FormKind, vars: &[&str]) {
    let mut sheet = Sheet::new(kind, FORM_TYPE);
    for var in vars {
        let values: Vec<&str> = form
            .values(var)
            .into_iter()
            .flatten()
            .map(String::as_str)
            .collect();
        sheet = sheet.field(var, "text-multi", "", &values);
    }
    let xml = sheet.xml();
    let element = Element::parse(&xml).unwrap();
    assert_eq!(element.as_str(), xml, "what we write is canonical");
    let again = Form::read(element.el()).unwrap_or_else(|error| panic!("{error:?}: {xml}"));
    assert_eq!(again.kind, kind);
    assert_eq!(again.value("FORM_TYPE"), Some(FORM_TYPE));
    assert_eq!(again.vars().collect::<Vec<_>>(), vars);
    for var in vars {
        assert_eq!(again.values(var), form.values(var));
    }
}
