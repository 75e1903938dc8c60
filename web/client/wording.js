// Converse's words become the house's: one word for one thing ("room", 聊天室), dates as the page's language writes them, and
// the whole of what is cut off. Called once, before Converse begins: it keeps some of its words from then on.

/** Converse's word for a room, and others that the pages have another for. Longer ones come first. */
const WORDS = {
    en: [
        [/\b(?:groupchats|multi-user chats)\b/g, 'rooms'],
        [/\b(?:groupchat|grouchat|multi-user chat)\b/g, 'room'],
        [/\bGroupchats\b/g, 'Rooms'],
        [/\bGroupchat\b/g, 'Room'],
    ],
    zh_CN: [
        [/群聊/g, '聊天室'],
        [/是?仅成员/g, '仅限成员'],
        [/参观者/g, '旁听者'],
        [/踢出/g, '移出'],
    ],
};

/** Sentences that would be wrong word for word, or that have no translation. */
const SENTENCES = {
    en: {
        'Groupchat logging is now enabled': 'This room keeps an archive of its messages',
        'Groupchat logging is now disabled': 'This room no longer keeps an archive of its messages',
        'Enter a new Groupchat': 'Join or create a room',
        'Log out': 'Sign out',
        'Reset Password': 'Change password',
    },
    zh_CN: {
        'Groupchat logging is now enabled': '此聊天室会保存聊天记录',
        'Groupchat logging is now disabled': '此聊天室不再保存聊天记录',
        'Enter a new Groupchat': '加入或创建聊天室',
        'Cannot use OMEMO in this groupchat — it must be non-anonymous and members-only.':
            '此聊天室无法使用 OMEMO 加密：聊天室须为非匿名且仅限成员。',
        'Received an OMEMO encrypted message which could not be decrypted, because it was not encrypted for this device.':
            '收到一条 OMEMO 加密消息，但它不是为此设备加密的，无法解密。',
        'Copy fingerprint to clipboard': '复制指纹',
        'OMEMO 2 fingerprint': 'OMEMO 2 指纹',
        'OMEMO fingerprint (legacy)': 'OMEMO 指纹（旧版）',
    },
};

/** The patterns in which Converse writes dates, and what the page's language has for them. */
const DATES = {
    'dddd MMM Do YYYY': { dateStyle: 'full' },
    'MMM D, YYYY, HH:mm:ss': { dateStyle: 'medium', timeStyle: 'medium' },
    llll: { dateStyle: 'full', timeStyle: 'short' },
};

/** The reader's own kind of the page's language: in Britain days come before months. */
export function languageTag(locale) {
    const [language] = locale.split('_');
    return navigator.languages.find((tag) => tag.startsWith(language)) ?? locale.replace('_', '-');
}

function rewordSentences(i18n, locale) {
    const translate = i18n.translate;
    const known = new Map(Object.entries(SENTENCES[locale] ?? {}));
    const template = (text) => {
        if (!known.has(text)) {
            // What stands for names and numbers stays in its place, so that none of the words are somebody's name.
            const found = translate.call(i18n, text, ['%1$s', '%2$s', '%3$s', '%4$s']);
            known.set(text, (WORDS[locale] ?? []).reduce((told, [from, to]) => told.replace(from, to), found));
        }
        return known.get(text);
    };
    i18n.translate = (text, args = []) => {
        let next = 0;
        return template(text).replace(/%(?:(\d)\$)?[sd]|%%/g, (place, number) => {
            if (place === '%%') return '%';
            const value = args[number ? number - 1 : next];
            next += 1;
            return value ?? place;
        });
    };
}

function writeDates(dayjs, locale) {
    const tag = languageTag(locale);
    dayjs.extend((_, Dayjs) => {
        const { format } = Dayjs.prototype;
        Dayjs.prototype.format = function (pattern) {
            const style = DATES[pattern];
            return style ? new Intl.DateTimeFormat(tag, style).format(this.toDate()) : format.call(this, pattern);
        };
    });
}

/** Whether a text ends in an ellipsis. The box that cuts it may be one around it: what is inline has no width of its own. */
function isCut(element) {
    for (let box = element, steps = 0; box && steps < 3; box = box.parentElement, steps += 1) {
        if (box.scrollWidth > box.clientWidth + 1 && getComputedStyle(box).textOverflow === 'ellipsis') return true;
    }
    return false;
}

/** What does not fit its place is shown whole when somebody points at it. */
function showWhole() {
    document.addEventListener('pointerover', ({ target }) => {
        const text = target.textContent.trim();
        if (target.childElementCount > 0 || !text || target.closest('[title]')?.title.includes(text)) return;
        if (isCut(target)) target.title = text;
    });
}

export function reword({ locale }) {
    const { dayjs, i18n } = window.converse.env;
    rewordSentences(i18n, locale);
    writeDates(dayjs, locale);
    showWhole();
}
