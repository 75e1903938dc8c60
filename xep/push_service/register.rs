//! Commands with which an app says where it is woken, and gets the node that it then enables (XEP-0357 §5): the names and fields
//! are those that apps know from other app servers.

use std::sync::Arc;

use kim_core::cx::Cx;
use kim_core::error::Fault;
use kim_core::module::At;

use super::SERVICE;
use super::api::{AppServer, PushWish, WishRefused};
use crate::xep0004_forms::api::{Form, FormKind, Sheet};
use crate::xep0050_commands::api::{
    Command, CommandOutcome, CommandStep, Commands, MayUse, Severity, Step, bad_payload, needed,
};

const FORM_TYPE: &str = "urn:kim:push:0";

/// Offers them at the service.
pub(super) fn offer(commands: &Commands, server: &Arc<AppServer>) {
    let at = At::Service(SERVICE);
    for (node, name, kind) in [
        (
            "register-push-webpush",
            "Wake a browser (Web Push)",
            PushKind::WebPush,
        ),
        (
            "register-push-unifiedpush",
            "Wake an app (UnifiedPush)",
            PushKind::UnifiedPush,
        ),
        ("register-push-fcm", "Wake an app (FCM)", PushKind::Fcm),
        ("register-push-apns", "Wake an app (APNs)", PushKind::Apns),
    ] {
        let server = server.clone();
        commands.add(at, node, name, MayUse::Accounts, RegisterPush { server, kind });
    }
    let unregister = UnregisterPush(server.clone());
    commands.add(
        at,
        "unregister-push",
        "Wake it no more",
        MayUse::Accounts,
        unregister,
    );
}

#[derive(Clone, Copy)]
enum PushKind {
    WebPush,
    UnifiedPush,
    Fcm,
    Apns,
}

impl PushKind {
    fn name(self) -> &'static str {
        match self {
            PushKind::WebPush => "webpush",
            PushKind::UnifiedPush => "unifiedpush",
            PushKind::Fcm => "fcm",
            PushKind::Apns => "apns",
        }
    }
}

struct RegisterPush {
    server: Arc<AppServer>,
    kind: PushKind,
}

impl RegisterPush {
    fn form(&self, public_key: &str) -> Sheet {
        let sheet = Sheet::new(FormKind::Form, FORM_TYPE).title("Push notifications");
        match self.kind {
            PushKind::WebPush => sheet
                .field(
                    "public_key",
                    "fixed",
                    "Key to subscribe with (applicationServerKey)",
                    &[public_key],
                )
                .required()
                .line("endpoint", "Address at the push service", "")
                .required()
                .line("p256dh", "Public key of the subscription", "")
                .required()
                .line("auth", "Secret of the subscription", ""),
            PushKind::UnifiedPush => sheet
                .required()
                .line("endpoint", "Address at the push service", ""),
            PushKind::Fcm => sheet.required().line("token", "Registration token", ""),
            PushKind::Apns => sheet
                .required()
                .line("token", "Device token", "")
                .required()
                .line("topic", "Bundle id", ""),
        }
    }

    fn wish<'a>(&self, form: &'a Form) -> PushWish<'a> {
        PushWish {
            kind: Some(self.kind.name()),
            endpoint: form.value("endpoint"),
            p256dh: form.value("p256dh"),
            auth: form.value("auth"),
            token: form.value("token"),
            topic: form.value("topic"),
        }
    }
}

fn refused(refused: &WishRefused) -> Fault {
    bad_payload(format!("{} {}", refused.field, refused.why))
}

impl Command for RegisterPush {
    async fn step(&self, turn: &CommandStep<'_>, cx: &mut Cx) -> Result<Step, Fault> {
        let network = self.server.network();
        let network =
            network.ok_or_else(|| bad_payload("this server cannot reach push services at the moment"))?;
        let Some(form) = turn.forms.last() else {
            let form = self.form(&network.public_key()).xml();
            return Ok(Step::Ask { form, last: true });
        };
        let endpoint = network.accept(&self.wish(form)).map_err(|why| refused(&why))?;
        let account = turn.asker.bare();
        let resource = turn.asker.resource().unwrap_or_default();
        let (tag, service) = self
            .server
            .register(&account, &endpoint, resource, cx.router().clock().now())
            .await?;
        tracing::info!(event = "push_subscribed", %account);
        let node = tag.to_string();
        let told = Sheet::new(FormKind::Result, FORM_TYPE)
            .line("jid", "App server", service.as_str())
            .line("node", "Node", &node)
            // Apps of others enable only with one. Who may publish is decided by the sender, so it is nobody's secret.
            .line("secret", "Secret", &node);
        Ok(Step::Done(CommandOutcome::form(told.xml())))
    }
}

struct UnregisterPush(Arc<AppServer>);

impl Command for UnregisterPush {
    async fn step(&self, turn: &CommandStep<'_>, cx: &mut Cx) -> Result<Step, Fault> {
        let Some(form) = turn.forms.last() else {
            let form = Sheet::new(FormKind::Form, FORM_TYPE)
                .title("Push notifications")
                .required()
                .line("node", "Node", "");
            return Ok(Step::Ask {
                form: form.xml(),
                last: true,
            });
        };
        let node = needed(form, "node")?;
        match self.0.unsubscribe(&turn.asker.bare(), node, cx.router()).await? {
            true => Ok(Step::Done(
                CommandOutcome::default().note(Severity::Info, "It is not woken any more."),
            )),
            false => Err(bad_payload("you have no push subscription with this node")),
        }
    }
}
