// Sees that a chat becomes encrypted as soon as it can be. Converse asks once for the devices of somebody one writes to and,
// when there are none yet, goes on in the clear for good unless that person is a contact. But people meet at an invitation, a
// minute after one of them signed in for the first time: so we ask again, in growing intervals and before a message is sent.

const PAUSE_MILLISECONDS_MIN = 2_000;
const PAUSE_MILLISECONDS_MAX = 120_000;
// Before a message is sent we ask again only if the last answer is older than this.
const FRESH_MILLISECONDS = 10_000;
/** A message waits no longer than this for the answer. */
const ANSWER_MILLISECONDS_MAX = 10_000;

/** Whether somebody has a device to encrypt for, asked anew. */
async function hasDevices(api, jid) {
    const { Strophe } = window.converse.env;
    for (const version of [Strophe.NS.OMEMO, Strophe.NS.OMEMO2]) {
        const list = await api.omemo.devicelists.get(jid, true, version);
        if (list.devices.length === 0) await list.fetchDevices(true);
        if (list.devices.length > 0) return true;
    }
    return false;
}

function watch(inner, chat) {
    const { api, state } = inner;
    const jid = chat.get('jid');
    let asked = 0;
    let gone = false;
    chat.on('destroy', () => { gone = true; });

    const ask = async () => {
        if (chat.get('omemo_supported') || gone) return true;
        // Without being kept on the device there are no keys, and nothing to wait for.
        if (!state.config.get('trusted')) return true;
        await api.waitUntil('OMEMOInitialized');
        asked = Date.now();
        if (!await hasDevices(api, jid)) return false;
        const chosen = state.omemo_active_states?.get(jid);
        chat.set({ omemo_supported: true, omemo_active: chosen ?? true });
        return true;
    };

    const askAgain = async (pause) => {
        const done = await ask().catch(() => false);
        if (!done) setTimeout(askAgain, pause, Math.min(pause * 2, PAUSE_MILLISECONDS_MAX));
    };
    setTimeout(askAgain, PAUSE_MILLISECONDS_MIN, PAUSE_MILLISECONDS_MIN);

    // Called before anything is sent.
    chat.encrypts = async () => {
        if (Date.now() - asked <= FRESH_MILLISECONDS) return;
        await Promise.race([ask().catch(() => false), new Promise((resolve) => setTimeout(resolve, ANSWER_MILLISECONDS_MAX))]);
    };
    const send = chat.sendMessage.bind(chat);
    chat.sendMessage = async (attributes) => {
        await chat.encrypts();
        return send(attributes);
    };
}

/** Watches every chat between two people that is opened. */
export function encryptWhenPossible(inner) {
    inner.api.listen.on('chatBoxInitialized', (chat) => {
        if (chat.get('type') === 'chatbox') watch(inner, chat);
    });
}
