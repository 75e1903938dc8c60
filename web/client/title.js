// The title of the tab says where one is, and how many messages wait elsewhere.

/** The chat that is on the screen. */
function shown(chats) {
    return chats.find((chat) => chat.get('type') !== 'controlbox' && !chat.get('hidden') && !chat.get('closed'));
}

export function keepTitle({ api, state }, { domain }) {
    const tell = () => {
        const chats = state.chatboxes.models;
        const place = shown(chats)?.getDisplayName() ?? state.session.get('bare_jid')?.split('@')[0];
        const unread = chats.reduce((sum, chat) => sum + (chat.get('num_unread') ?? 0), 0);
        document.title = `${unread > 0 ? `(${unread}) ` : ''}${place ? `${place} · ` : ''}${domain}`;
    };
    api.listen.on('chatBoxesFetched', () => {
        const events = ['hidden', 'closed', 'num_unread', 'name', 'nickname'].map((name) => `change:${name}`);
        state.chatboxes.on(['add', 'remove', ...events, 'vcard:change', 'vcard:add', 'contact:change'].join(' '), tell);
        tell();
    });
}
