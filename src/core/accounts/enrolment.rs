//! How an account came to be. What this server tells others about an account (XEP-0489 §3), and how many people it may write
//! to, depend on it.

/// Who let somebody have an account.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Enrolment {
    /// The account is older than the record of it.
    Unknown,
    /// Nobody: it was made by its owner where registration is open, or with an invitation from somebody for whom nobody spoke.
    Registered,
    /// The operator, or an account for which somebody had spoken, by an invitation.
    Invited,
    /// An administrator, or the import from another server.
    Provisioned,
}

impl Enrolment {
    /// As it stands in the database.
    pub(super) fn as_str(self) -> &'static str {
        match self {
            Enrolment::Unknown => "",
            Enrolment::Registered => "registered",
            Enrolment::Invited => "invited",
            Enrolment::Provisioned => "provisioned",
        }
    }

    pub(super) fn parse(text: &str) -> Enrolment {
        match text {
            "registered" => Enrolment::Registered,
            "invited" => Enrolment::Invited,
            "provisioned" => Enrolment::Provisioned,
            _ => Enrolment::Unknown,
        }
    }
}

/// How an account came to be, and when.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Enrolled {
    /// When it was made, in microseconds since 1970.
    pub at: i64,
    /// Who let its owner have it.
    pub by: Enrolment,
}
