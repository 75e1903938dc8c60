//! What the scripts in the chat client say, in English and in Chinese, by the names that the scripts know. A list of its own:
//! no page shows these words.

/// Name, English, Chinese. `{}` stands for what the script puts in.
pub(super) const CLIENT: &[(&str, &str, &str)] = &[
    // The dialog for rooms.
    ("rooms_title", "Join or create a room", "加入或创建聊天室"),
    ("rooms_name", "Name of the room", "聊天室名称"),
    (
        "rooms_hint",
        "Choose a public room below, or type a name. If no room has that name, it is created.",
        "从下方选择公共聊天室，或输入名称。如果没有同名聊天室，将新建一个。",
    ),
    ("rooms_found", "Public rooms", "公共聊天室"),
    (
        "rooms_none_found",
        "No public room matches this name.",
        "没有与此名称匹配的公共聊天室。",
    ),
    ("rooms_people", "{} online", "{} 人在线"),
    ("rooms_nick", "Your nickname in the room", "您在聊天室中的昵称"),
    ("rooms_go", "Join or create", "加入或创建"),
    ("rooms_joining", "Joining…", "正在加入……"),
    (
        "rooms_bad_name",
        "Please enter a name with at least one letter or digit.",
        "请输入至少包含一个文字、字母或数字的名称。",
    ),
    ("rooms_nick_needed", "Please enter a nickname.", "请输入昵称。"),
    (
        "rooms_no_answer",
        "The room did not answer. Please try again.",
        "聊天室没有响应，请重试。",
    ),
    // Who is in a room.
    ("participants_one", "1 participant", "1 位参与者"),
    ("participants", "{} participants", "{} 位参与者"),
    // Files.
    (
        "file_too_large",
        "“{}” is too large. This server accepts files of up to {}.",
        "“{}”过大。此服务器最大支持 {} 的文件。",
    ),
    (
        "file_refused",
        "“{}” was not sent. The server says: {}",
        "“{}”未发送。服务器提示：{}",
    ),
    (
        "file_failed",
        "“{}” was not sent, because the server could not be reached. Please try again.",
        "“{}”未发送：无法连接服务器，请重试。",
    ),
    // What next.
    ("next_title", "What next?", "接下来"),
    ("next_invite", "Invite somebody", "邀请好友"),
    ("next_invite_more", "with a link or a QR code", "使用链接或二维码"),
    ("next_app", "Install an app", "安装应用"),
    ("next_app_more", "and chat on your phone too", "在手机上也能聊天"),
    ("next_picture", "Set a picture", "设置头像"),
    (
        "next_picture_more",
        "so that others recognise you",
        "让其他人认出您",
    ),
    ("next_dismiss", "Hide these suggestions", "隐藏这些建议"),
    // Notifications while the page is closed.
    ("notify_on", "Notifications are on", "通知已开启"),
    ("notify_off", "Turn on notifications", "开启通知"),
    (
        "notify_denied",
        "This browser does not allow notifications from this page. You can change that in its settings.",
        "此浏览器不允许本页面发送通知。您可以在浏览器设置中更改。",
    ),
    (
        "notify_failed",
        "Notifications could not be turned on. Please try again.",
        "无法开启通知，请重试。",
    ),
    ("push_message", "You have a new message", "您有一条新消息"),
    ("push_message_in", "New message in “{}”", "“{}”中有新消息"),
    ("push_call", "Somebody is calling", "有来电"),
    ("push_call_from", "{} is calling", "{} 来电"),
    (
        "push_request",
        "Somebody wants to add you as a contact",
        "有人想添加您为联系人",
    ),
    (
        "push_request_from",
        "{} wants to add you as a contact",
        "{} 想添加您为联系人",
    ),
    ("offline_title", "You are offline", "您已离线"),
    (
        "offline_more",
        "Open this page again when there is a connection.",
        "连接恢复后请重新打开此页面。",
    ),
    // Inviting.
    ("invite_title", "Invite somebody", "邀请好友"),
    (
        "invite_more",
        "Send this link to one person, or let them scan the code. It works once, until {}.",
        "将此链接发送给一位好友，或让对方扫描二维码。链接仅可使用一次，有效期至 {}。",
    ),
    ("invite_link", "Invitation link", "邀请链接"),
    ("invite_copy", "Copy the link", "复制链接"),
    ("invite_copied", "Copied", "已复制"),
    (
        "invite_failed",
        "The invitation could not be created. {}",
        "无法创建邀请。{}",
    ),
    // Contact requests.
    (
        "request",
        "{} wants to be your contact.",
        "{} 请求添加您为联系人。",
    ),
    ("request_accept", "Accept", "接受"),
    ("request_decline", "Decline", "拒绝"),
    ("request_failed", "This did not work. {}", "操作失败。{}"),
    // Encryption.
    ("clear_chat", "Not encrypted.", "未加密。"),
    (
        "clear_no_keys",
        "{} has no app that encrypts yet. The server can read what you write.",
        "{} 尚无支持加密的应用。服务器能看到您发送的内容。",
    ),
    (
        "clear_lost",
        "Encryption does not work in this chat at the moment. The server can read what you write.",
        "此聊天目前无法加密。服务器能看到您发送的内容。",
    ),
    (
        "clear_chosen",
        "You turned encryption off. The server can read what you write.",
        "您已关闭加密。服务器能看到您发送的内容。",
    ),
    (
        "clear_untrusted",
        "Encryption needs “Keep me signed in on this device”. The server can read what you write.",
        "端到端加密需要勾选“在此设备上保持登录”。服务器能看到您发送的内容。",
    ),
    (
        "clear_room",
        "Everybody in this room and its server can read what you write.",
        "此聊天室的所有成员及其服务器都能看到您发送的内容。",
    ),
    (
        "clear_question",
        "Nothing was sent: it would not be encrypted. Send it anyway?",
        "消息尚未发送：它不会被加密。仍要发送吗？",
    ),
    (
        "clear_file",
        "The file was not sent, because encryption stopped working. Please try again.",
        "加密已中断，文件未发送，请重试。",
    ),
    ("clear_send", "Send unencrypted", "不加密发送"),
    ("clear_cancel", "Do not send", "不发送"),
    (
        "other_devices_one",
        "1 earlier message was encrypted for your other devices",
        "有 1 条更早的消息是为您的其他设备加密的",
    ),
    (
        "other_devices",
        "{} earlier messages were encrypted for your other devices",
        "有 {} 条更早的消息是为您的其他设备加密的",
    ),
    (
        "unreadable_one",
        "1 message could not be decrypted",
        "有 1 条消息无法解密",
    ),
    (
        "unreadable",
        "{} messages could not be decrypted",
        "有 {} 条消息无法解密",
    ),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_languages_say_everything_once() {
        let mut names: Vec<&str> = CLIENT.iter().map(|(name, ..)| *name).collect();
        names.sort_unstable();
        let count = names.len();
        names.dedup();
        assert_eq!(names.len(), count, "a name stands twice");
        for (name, english, chinese) in CLIENT {
            let places = |text: &str| text.matches("{}").count();
            assert_eq!(places(english), places(chinese), "{name}");
            assert!(!chinese.is_ascii() && !english.is_empty(), "{name}");
        }
    }
}
