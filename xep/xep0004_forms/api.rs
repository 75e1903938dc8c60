//! A form as somebody filled it in, and a form that is shown to somebody.

use kim_core::error::{Condition, StanzaError};
use kim_core::ns::DATA;
use kim_core::wire::{El, Writer};

/// XEP-0122
const VALIDATE: &str = "http://jabber.org/protocol/xdata-validate";
/// Fields that are read of one form.
const FIELDS_MAX: usize = 256;
/// Values that are read of one form.
const VALUES_MAX: usize = 4_096;

/// What a form is for (§3.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FormKind {
    /// It asks to be filled in.
    Form,
    /// It was filled in.
    Submit,
    /// It is not going to be filled in.
    Cancel,
    /// It tells something.
    Result,
}

/// A form that came.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Form {
    /// What it is for.
    pub kind: FormKind,
    fields: Vec<(String, Vec<String>)>,
}

impl Form {
    /// Reads an `<x xmlns='jabber:x:data'/>`.
    pub fn read(x: El<'_>) -> Result<Form, StanzaError> {
        let kind = match x.attr("type").as_deref() {
            Some("form") => FormKind::Form,
            Some("submit") => FormKind::Submit,
            Some("cancel") => FormKind::Cancel,
            Some("result") => FormKind::Result,
            _ => return Err(bad("the form has an unknown type")),
        };
        let (mut fields, mut values_left) = (Vec::new(), VALUES_MAX);
        for field in x.children().filter(|child| child.is("field", DATA)) {
            let Some(var) = field.attr("var") else { continue };
            let values: Vec<String> = field
                .children()
                .filter(|child| child.is("value", DATA))
                .take(values_left + 1)
                .map(|value| value.text().into_owned())
                .collect();
            if fields.len() >= FIELDS_MAX || values.len() > values_left {
                return Err(StanzaError::new(Condition::ResourceConstraint).text("the form is too large"));
            }
            values_left -= values.len();
            fields.push((var.into_owned(), values));
        }
        Ok(Form { kind, fields })
    }

    /// Reads the form that was submitted with a request, if there is one, and checks that it is one of `form_type`
    /// (XEP-0068 §3.1). A form that says nothing of its type is taken for one: some clients leave it out.
    pub fn submitted(request: El<'_>, form_type: &str) -> Result<Option<Form>, StanzaError> {
        let Some(x) = request.child("x", DATA) else {
            return Ok(None);
        };
        let form = Form::read(x)?;
        if form.value("FORM_TYPE").is_some_and(|own| own != form_type) {
            return Err(bad("the form has the wrong FORM_TYPE"));
        }
        Ok(Some(form))
    }

    /// The names of the fields, in order, without FORM_TYPE.
    pub fn vars(&self) -> impl Iterator<Item = &str> {
        self.fields
            .iter()
            .map(|(var, _)| var.as_str())
            .filter(|var| *var != "FORM_TYPE")
    }

    /// All values of a field; `None` if the form does not have it.
    pub fn values(&self, var: &str) -> Option<&[String]> {
        self.fields
            .iter()
            .find(|(own, _)| own == var)
            .map(|(_, values)| values.as_slice())
    }

    /// The first value of a field.
    pub fn value(&self, var: &str) -> Option<&str> {
        self.values(var)?.first().map(String::as_str)
    }

    /// The lines of a `text-multi` field as one text.
    pub fn text(&self, var: &str) -> Option<String> {
        self.values(var).map(|lines| lines.join("\n"))
    }

    /// A field that is true or false (§3.3); `bad-request` for anything else.
    pub fn boolean(&self, var: &str) -> Result<Option<bool>, StanzaError> {
        match self.value(var).map(str::trim) {
            None => Ok(None),
            Some("1" | "true") => Ok(Some(true)),
            Some("0" | "false") => Ok(Some(false)),
            Some(_) => Err(bad("a boolean field must be 1 or 0")),
        }
    }
}

fn bad(why: &'static str) -> StanzaError {
    StanzaError::new(Condition::BadRequest).text(why)
}

/// Writes a form: its title and instructions first, then its fields, then [`Sheet::xml`].
pub struct Sheet {
    xml: Writer,
    /// The first field, which comes behind title and instructions.
    form_type: Option<String>,
    /// Forms that are filled in need to be told the types of their fields (§3.2).
    typed: bool,
    /// The next field has to be filled in.
    requires: bool,
    /// The next field is a number of at most this.
    range_max: Option<u32>,
}

impl Sheet {
    /// A form of a kind. `form_type` becomes its first, hidden field (XEP-0068).
    pub fn new(kind: FormKind, form_type: &str) -> Sheet {
        let name = match kind {
            FormKind::Form => "form",
            FormKind::Submit => "submit",
            FormKind::Cancel => "cancel",
            FormKind::Result => "result",
        };
        let mut xml = Writer::new();
        xml.start("x", DATA).attr("type", name);
        Sheet {
            xml,
            form_type: Some(form_type.to_owned()),
            typed: kind == FormKind::Form,
            requires: false,
            range_max: None,
        }
    }

    /// A title.
    pub fn title(mut self, title: &str) -> Sheet {
        self.xml.start("title", DATA).text(title).end();
        self
    }

    /// What somebody who fills it in should know.
    pub fn instructions(mut self, text: &str) -> Sheet {
        self.xml.start("instructions", DATA).text(text).end();
        self
    }

    /// The next field has to be filled in (§3.2).
    pub fn required(mut self) -> Sheet {
        self.requires = true;
        self
    }

    /// Yes or no.
    pub fn boolean(self, var: &str, label: &str, value: bool) -> Sheet {
        self.field(var, "boolean", label, &[if value { "1" } else { "0" }])
    }

    /// One line of text.
    pub fn line(self, var: &str, label: &str, value: &str) -> Sheet {
        self.field(var, "text-single", label, &[value])
    }

    /// A number.
    pub fn number(self, var: &str, label: &str, value: impl std::fmt::Display) -> Sheet {
        self.line(var, label, &value.to_string())
    }

    /// A number up to a maximum, with the validation of XEP-0122 §3.2.3.
    pub fn integer(mut self, var: &str, label: &str, value: &str, max: u32) -> Sheet {
        self.range_max = Some(max);
        self.line(var, label, value)
    }

    /// Tells the types of the fields in a form of any kind: some clients drop a result that has none.
    pub fn typed(mut self) -> Sheet {
        self.typed = true;
        self
    }

    /// Several lines of text.
    pub fn lines(self, var: &str, label: &str, text: &str) -> Sheet {
        let lines: Vec<&str> = text.lines().collect();
        self.field(var, "text-multi", label, &lines)
    }

    /// Any number of JIDs.
    pub fn jids<'a>(self, var: &str, label: &str, jids: impl IntoIterator<Item = &'a str>) -> Sheet {
        let jids: Vec<&str> = jids.into_iter().collect();
        self.field(var, "jid-multi", label, &jids)
    }

    /// One of several values, each with a label. An empty value that no option has stands for none chosen yet.
    pub fn choice(self, var: &str, label: &str, value: &str, options: &[(&str, &str)]) -> Sheet {
        let is_offered = options.iter().any(|(own, _)| *own == value);
        let is_none = self.typed && value.is_empty() && !is_offered;
        let values: &[&str] = if is_none { &[] } else { &[value] };
        self.list(var, "list-single", label, values, options)
    }

    /// Any of several values, each with a label.
    pub fn several(self, var: &str, label: &str, values: &[&str], options: &[(&str, &str)]) -> Sheet {
        self.list(var, "list-multi", label, values, options)
    }

    /// The values of a list are among its options (§3.3): clients drop the whole form otherwise.
    fn list(self, var: &str, kind: &str, label: &str, values: &[&str], options: &[(&str, &str)]) -> Sheet {
        let is_offered = |value: &&str| options.iter().any(|(own, _)| own == value);
        let others = values.iter().copied().filter(|value| !is_offered(value));
        let all: Vec<(&str, &str)> = others
            .map(|value| (value, value))
            .chain(options.iter().copied())
            .collect();
        self.write(var, kind, label, values, &all)
    }

    /// A field of any type of §3.3.
    pub fn field(self, var: &str, kind: &str, label: &str, values: &[&str]) -> Sheet {
        self.write(var, kind, label, values, &[])
    }

    fn write(
        mut self,
        var: &str,
        kind: &str,
        label: &str,
        values: &[&str],
        options: &[(&str, &str)],
    ) -> Sheet {
        if let Some(form_type) = self.form_type.take() {
            let (requires, range_max) = (std::mem::take(&mut self.requires), self.range_max.take());
            self = self.write("FORM_TYPE", "hidden", "", &[&form_type], &[]);
            (self.requires, self.range_max) = (requires, range_max);
        }
        let requires = std::mem::take(&mut self.requires);
        let range_max = self.range_max.take();
        let xml = &mut self.xml;
        xml.start("field", DATA).attr("var", var);
        // Without its type a field is taken for one with a single value (§3.2), also in a result.
        if self.typed || kind == "hidden" || kind.ends_with("-multi") {
            xml.attr("type", kind);
        }
        if !label.is_empty() {
            xml.attr("label", label);
        }
        if requires {
            xml.start("required", DATA).end();
        }
        if let Some(max) = range_max.filter(|_| self.typed) {
            xml.start("validate", VALIDATE).attr("datatype", "xs:integer");
            xml.start("range", VALIDATE)
                .attr("min", "0")
                .attr("max", &max.to_string());
            xml.end().end();
        }
        for value in values {
            xml.start("value", DATA).text(value).end();
        }
        if self.typed {
            for (value, label) in options {
                xml.start("option", DATA).attr("label", label);
                xml.start("value", DATA).text(value).end().end();
            }
        }
        xml.end();
        self
    }

    /// The canonical XML.
    pub fn xml(mut self) -> String {
        if let Some(form_type) = self.form_type.take() {
            self = self.write("FORM_TYPE", "hidden", "", &[&form_type], &[]);
        }
        self.xml.finish_string()
    }
}
