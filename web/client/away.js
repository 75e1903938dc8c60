// Keeps the page as it is while the server is away, says so, and says when it tries again. Left to itself, Converse empties
// the page when its connection is lost and tries every few seconds without a word. Here it learns of a lost connection
// only when the server answers again, and signs in then.

const PAUSE_SECONDS_MAX = 30;
/** A server that takes longer to answer is still away. */
const ANSWER_MILLISECONDS_MAX = 10_000;
/** How often to look whether the requests of BOSH fail. Converse gives such a connection up only after a minute. */
const BOSH_MILLISECONDS = 1_000;

/** The bar that tells the reader. */
class Notice {
    constructor(words) {
        this.words = words;
        this.bar = Object.assign(document.createElement('div'), { id: 'away', hidden: true });
        this.text = document.createElement('p');
        // Read aloud once, not with every second.
        this.text.setAttribute('role', 'status');
        this.pause = document.createElement('p');
        this.now = Object.assign(document.createElement('button'), { type: 'button', textContent: words.try_now });
        this.bar.append(this.text, this.pause, this.now);
        document.body.append(this.bar);
    }

    /** `seconds` until the next try; without them a try goes on. */
    show(seconds) {
        if (this.bar.hidden) this.text.textContent = this.words.away;
        this.pause.textContent = seconds ? this.words.next_try.replace('{}', seconds) : this.words.trying;
        this.now.hidden = !seconds;
        this.bar.hidden = false;
    }

    hide() {
        this.bar.hidden = true;
        // So that it is read aloud when it comes again.
        this.text.textContent = '';
    }

    get visible() {
        return !this.bar.hidden;
    }

    /** Counts down; ends early when the reader or the browser knows better. */
    countDown(seconds) {
        return new Promise((resolve) => {
            const end = Date.now() + seconds * 1000;
            const tick = () => {
                const left = Math.ceil((end - Date.now()) / 1000);
                if (left > 0) this.show(left);
                else done();
            };
            const done = () => {
                clearInterval(timer);
                this.now.removeEventListener('click', done);
                window.removeEventListener('online', done);
                resolve();
            };
            const timer = setInterval(tick, 250);
            this.now.addEventListener('click', done);
            window.addEventListener('online', done);
            tick();
        });
    }
}

async function serverAnswers() {
    try {
        const signal = AbortSignal.timeout(ANSWER_MILLISECONDS_MAX);
        return (await fetch('/favicon.svg', { cache: 'no-store', signal })).ok;
    } catch {
        return false;
    }
}

/** Grows with every try, and differs between pages: otherwise all of them would come back in the same moment. */
function pauseSeconds(tries) {
    return Math.min(2 ** tries, PAUSE_SECONDS_MAX) * (0.75 + Math.random() / 2);
}

/** Keeps a message in its box until it can be sent: Converse would show it as sent, and drop it. */
function holdBackMessages(isAway) {
    const sends = {
        keydown: (event) => event.key === 'Enter' && !event.shiftKey && event.target.matches('.chat-textarea'),
        click: (event) => event.target.closest('.send-button'),
    };
    for (const [kind, isSending] of Object.entries(sends)) {
        document.addEventListener(kind, (event) => {
            if (!isAway() || !isSending(event)) return;
            event.preventDefault();
            event.stopImmediatePropagation();
        }, true);
    }
}

/** Watches the connection of the client, from when it has begun to chat. */
export function sayWhenAway({ api }, words) {
    const { Status } = window.converse.env.Strophe;
    const notice = new Notice(words);
    const losses = [Status.CONNFAIL, Status.CONNTIMEOUT, Status.DISCONNECTING, Status.ERROR];
    // Whether the page shows a session that was established and has not been given up.
    let holds = false;
    let tries = 0;
    let waits = false;

    api.listen.on('connectionInitialized', () => {
        const connection = api.connection.get();
        const tell = connection.setConnectionStatus.bind(connection);
        connection.setConnectionStatus = (status, message) => {
            if (holds && losses.includes(status)) connection.status = status;
            else tell(status, message);
        };
    });

    const reconnect = api.connection.reconnect.bind(api.connection);
    api.connection.reconnect = async () => {
        // Before anybody is signed in, the form reports the failure.
        if (!holds && !notice.visible) return reconnect();
        if (waits) return undefined;
        waits = true;
        do {
            await notice.countDown(pauseSeconds(tries));
            tries += 1;
            notice.show();
        } while (!await serverAnswers());
        waits = false;
        holds = false;
        const connection = api.connection.get();
        connection.setConnectionStatus(Status.RECONNECTING);
        return connection.reconnect();
    };

    for (const event of ['connected', 'reconnected']) {
        api.listen.on(event, () => {
            holds = true;
            tries = 0;
            notice.hide();
        });
    }
    api.listen.on('disconnected', () => {
        holds = false;
        notice.hide();
    });

    setInterval(() => {
        if (!holds || waits || !api.connection.isType('bosh')) return;
        if (api.connection.get()._proto.errors > 0) notice.show();
        else if (notice.visible) notice.hide();
    }, BOSH_MILLISECONDS);

    holdBackMessages(() => notice.visible);
}
