// The service worker: shows notifications when the page is closed, opens the chat they are about, and says so when there is no
// network. It keeps no messages and no keys, and a notification names a chat at most: that is all it is told.

const SHELF = 'kim';
/** Where the page leaves what the worker has to know (see leave() in notify.js). */
const LEFT = '/worker/left';

/** What the page left: words in the reader's language, the style, and the domain of the rooms. */
async function left() {
    const found = await caches.match(LEFT, { cacheName: SHELF });
    return found ? found.json() : { words: {}, conference: '', pages: [] };
}

const fill = (sentence, value) => sentence.replace('{}', () => value);

/** The chat that a notification is about: its address, what it is called, and whether it is a room. */
function chatOf(from, conference) {
    const chat = from?.split('/')[0];
    if (!chat) return null;
    const [local, domain] = chat.split('@');
    return { chat, name: domain ? local : chat, isRoom: domain === conference };
}

async function ourPages() {
    return clients.matchAll({ type: 'window', includeUncontrolled: true });
}

/** Shows what the server tells, or takes back what it told before. */
async function show(told) {
    const { words, conference } = await left();
    const shown = await registration.getNotifications();
    const isCall = (notification) => notification.data?.kind === 'call';
    // What was read elsewhere, or a call that is over. A call is never told by a count.
    if (told.kind === 'read') {
        const isOver = (notification) => isCall(notification) || told.messages === 0;
        shown.filter(isOver).forEach((notification) => notification.close());
        return;
    }
    // Whoever looks at the page sees the message there.
    const pages = await ourPages();
    if (pages.some((page) => page.visibilityState === 'visible')) return;
    const about = chatOf(told.from, conference);
    const [named, nameless] = {
        call: [words.push_call_from, words.push_call],
        request: [words.push_request_from, words.push_request],
    }[told.kind] ?? [words.push_message_in, words.push_message];
    const body = about && named ? fill(named, about.name) : nameless;
    await registration.showNotification('kIM', {
        body: body ?? 'You have a new message',
        tag: `${told.kind}:${about?.chat ?? ''}`,
        renotify: true,
        icon: '/icon-192.png',
        badge: '/icon-192.png',
        data: { kind: told.kind, ...about },
    });
}

self.addEventListener('push', (event) => {
    let told = {};
    try {
        told = event.data?.json() ?? {};
    } catch {
        // A notification that cannot be read still says that there is something.
    }
    event.waitUntil(show(told));
});

/** Opens the chat in a page that is there, or in a new one. */
async function open({ chat, isRoom }) {
    const hash = chat ? `#converse/${isRoom ? 'room' : 'chat'}?jid=${chat}` : '';
    const [page] = await ourPages();
    if (!page) return clients.openWindow(`/${hash}`);
    page.postMessage({ open: hash });
    return page.focus();
}

self.addEventListener('notificationclick', (event) => {
    event.notification.close();
    event.waitUntil(open(event.notification.data ?? {}));
});

// --- without a network ------------------------------------------------------------------------------------------

const escaped = (text) => String(text).replace(/[&<>"]/g, (sign) => `&#${sign.charCodeAt(0)};`);

async function offlinePage() {
    const { words, style, language } = await left();
    const title = escaped(words.offline_title ?? 'You are offline');
    const more = escaped(words.offline_more ?? 'Open this page again when there is a connection.');
    const link = style ? `<link rel="stylesheet" href="${escaped(style)}">` : '';
    const html = `<!doctype html><html lang="${escaped(language ?? 'en')}"><meta charset="utf-8">`
        + `<meta name="viewport" content="width=device-width, initial-scale=1"><title>${title}</title>${link}`
        + `<body><main><h1>${title}</h1><p>${more}</p></main></body></html>`;
    return new Response(html, { status: 503, headers: { 'Content-Type': 'text/html; charset=utf-8' } });
}

self.addEventListener('fetch', (event) => {
    const { request } = event;
    if (request.mode === 'navigate') {
        event.respondWith(fetch(request).catch(offlinePage));
    } else if (request.destination === 'style') {
        event.respondWith(fetch(request).catch(async () => await caches.match(request, { cacheName: SHELF }) ?? Response.error()));
    }
});

self.addEventListener('install', () => self.skipWaiting());
self.addEventListener('activate', (event) => event.waitUntil(clients.claim()));
