//! The modules: one folder for each specification, and the list of them. Adding one takes its folder, a `pub mod` line
//! and a line in [`MODULES`]; CONTRIBUTING.md has the steps.
#![forbid(unsafe_code)]
#![warn(missing_docs)]

use kim_core::module::Entry;

pub mod outreach;
pub mod push_service;
pub mod rfc6121_im;
pub mod strangers;
pub mod unified_push;
pub mod xep0004_forms;
pub mod xep0012_last;
pub mod xep0030_disco;
pub mod xep0045_muc;
pub mod xep0049_private;
pub mod xep0050_commands;
pub mod xep0054_vcard;
pub mod xep0059_rsm;
pub mod xep0060_pubsub;
pub mod xep0077_register;
pub mod xep0084_avatar;
pub mod xep0092_version;
pub mod xep0115_caps;
pub mod xep0133_admin;
pub mod xep0157_contact;
pub mod xep0158_captcha;
pub mod xep0163_pep;
pub mod xep0175_anonymous;
pub mod xep0191_blocking;
pub mod xep0191_server;
pub mod xep0198_sm;
pub mod xep0199_ping;
pub mod xep0202_time;
pub mod xep0280_carbons;
pub mod xep0313_mam;
pub mod xep0313_rooms;
pub mod xep0317_hats;
pub mod xep0352_csi;
pub mod xep0357_push;
pub mod xep0359_ids;
pub mod xep0363_upload;
pub mod xep0377_reports;
pub mod xep0380_eme;
pub mod xep0384_omemo;
pub mod xep0401_invites;
pub mod xep0402_bookmarks;
pub mod xep0402_sticky;
pub mod xep0424_retraction;
pub mod xep0425_moderation;
pub mod xep0433_channel_search;
pub mod xep0437_activity;
pub mod xep0452_mentions;
pub mod xep0463_mav;
pub mod xep0486_room_avatars;
pub mod xep0488_tokens;
pub mod xep0489_affiliation;
pub mod xep0490_mds;
pub mod xep0500_slow_mode;
pub mod xep0502_muc_activity;
pub mod xep0506_noreply;

/// Every module, in the order in which hooks of one stage run. A module stands behind those it needs.
pub const MODULES: &[Entry] = &[
    Entry::of::<xep0359_ids::StanzaIds>(),
    Entry::of::<rfc6121_im::Im>(),
    Entry::of::<xep0004_forms::DataForms>(),
    Entry::of::<xep0012_last::LastActivity>(),
    Entry::of::<xep0049_private::PrivateXml>(),
    Entry::of::<xep0054_vcard::VCardTemp>(),
    Entry::of::<xep0059_rsm::ResultSets>(),
    Entry::of::<xep0030_disco::Disco>(),
    Entry::of::<xep0489_affiliation::AccountAffiliations>(),
    Entry::of::<xep0050_commands::AdHocCommands>(),
    Entry::of::<xep0077_register::Register>(),
    Entry::of::<xep0092_version::Version>(),
    Entry::of::<xep0115_caps::EntityCaps>(),
    Entry::of::<xep0133_admin::Administration>(),
    Entry::of::<xep0157_contact::ContactAddresses>(),
    Entry::of::<xep0175_anonymous::Anonymous>(),
    Entry::of::<xep0191_blocking::Blocking>(),
    Entry::of::<outreach::Outreach>(),
    Entry::of::<xep0060_pubsub::PublishSubscribe>(),
    Entry::of::<xep0191_server::ServerWideBlocks>(),
    Entry::of::<xep0163_pep::PersonalEventing>(),
    Entry::of::<xep0084_avatar::Avatars>(),
    Entry::of::<xep0198_sm::StreamManagement>(),
    Entry::of::<xep0199_ping::Ping>(),
    Entry::of::<xep0202_time::Time>(),
    Entry::of::<xep0280_carbons::Carbons>(),
    Entry::of::<xep0313_mam::Mam>(),
    Entry::of::<xep0045_muc::Muc>(),
    Entry::of::<xep0313_rooms::RoomArchives>(),
    Entry::of::<xep0317_hats::Hats>(),
    Entry::of::<xep0352_csi::ClientStates>(),
    Entry::of::<xep0363_upload::Upload>(),
    Entry::of::<xep0377_reports::BlockingReports>(),
    Entry::of::<xep0380_eme::MessageEncryption>(),
    Entry::of::<xep0384_omemo::Omemo>(),
    Entry::of::<xep0401_invites::Invitations>(),
    Entry::of::<xep0158_captcha::RegistrationChallenges>(),
    Entry::of::<xep0402_bookmarks::Bookmarks>(),
    Entry::of::<xep0402_sticky::StickyMembers>(),
    Entry::of::<xep0424_retraction::Retraction>(),
    Entry::of::<xep0425_moderation::Moderation>(),
    Entry::of::<xep0433_channel_search::ChannelSearch>(),
    Entry::of::<xep0437_activity::RoomActivity>(),
    Entry::of::<xep0452_mentions::Mentions>(),
    Entry::of::<xep0486_room_avatars::RoomAvatars>(),
    Entry::of::<xep0488_tokens::TokenInvites>(),
    Entry::of::<xep0490_mds::DisplayedSync>(),
    Entry::of::<xep0357_push::Push>(),
    Entry::of::<push_service::PushServer>(),
    Entry::of::<unified_push::UnifiedPush>(),
    Entry::of::<xep0463_mav::Mav>(),
    Entry::of::<xep0500_slow_mode::SlowMode>(),
    Entry::of::<xep0502_muc_activity::MucActivity>(),
    Entry::of::<xep0506_noreply::NoReply>(),
    Entry::of::<strangers::Strangers>(),
];

#[cfg(test)]
mod tests;
