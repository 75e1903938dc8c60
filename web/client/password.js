// A password as the server prepares it before it is hashed. Converse hashes what was typed, byte for byte.

/** Spaces of other alphabets, such as that of a Chinese keyboard (RFC 3454 C.1.2), and what is not seen at all (B.1). */
const SPACES = /[\u00A0\u1680\u2000-\u200B\u202F\u205F\u3000]/gu;
const UNSEEN = /[\u00AD\u034F\u1806\u180B-\u180D\u200C\u200D\u2060\uFE00-\uFE0F\uFEFF]/gu;
/** Younger than SASLprep: passwords with such characters are kept as OpaqueString (RFC 8265 §4.2) has them. */
const YOUNG = /[\u{1F000}-\u{1FFFF}]/u;

/** SASLprep (RFC 4013) as far as it changes anything: full-width letters and digits become those of the keyboard. */
export function prepared(password) {
    const text = password.replace(SPACES, ' ');
    return YOUNG.test(text) ? text.normalize('NFC') : text.replace(UNSEEN, '').normalize('NFKC');
}
