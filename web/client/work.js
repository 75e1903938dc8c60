// A worker: finds a text that begins with `prefix` and whose SHA-256 hash ends in the bits of `label` (XEP-0158 §6.2). The
// browser's own SHA-256 is asynchronous and takes longer to ask than to compute, so the function stands here (FIPS 180-4 §6.2).

// Signed: engines keep these numbers in registers, and unsigned ones above 2³¹ they do not.
const K = new Int32Array(64);
const START = new Int32Array(8);
{
    // The first bits of the fractions of the roots of the first primes (§4.2.2, §5.3.3).
    const fraction = (root) => Math.floor((root - Math.floor(root)) * 2 ** 32);
    let count = 0;
    for (let number = 2; count < 64; number += 1) {
        let isPrime = true;
        for (let factor = 2; factor * factor <= number; factor += 1) isPrime &&= number % factor !== 0;
        if (!isPrime) continue;
        if (count < 8) START[count] = fraction(Math.sqrt(number));
        K[count] = fraction(Math.cbrt(number));
        count += 1;
    }
}

const schedule = new Int32Array(64);
const state = new Int32Array(8);

function compress(view, offset) {
    for (let t = 0; t < 16; t += 1) schedule[t] = view.getInt32(offset + 4 * t);
    for (let t = 16; t < 64; t += 1) {
        const x = schedule[t - 15];
        const y = schedule[t - 2];
        const s0 = ((x >>> 7) | (x << 25)) ^ ((x >>> 18) | (x << 14)) ^ (x >>> 3);
        const s1 = ((y >>> 17) | (y << 15)) ^ ((y >>> 19) | (y << 13)) ^ (y >>> 10);
        schedule[t] = (schedule[t - 16] + s0 + schedule[t - 7] + s1) | 0;
    }
    let a = state[0];
    let b = state[1];
    let c = state[2];
    let d = state[3];
    let e = state[4];
    let f = state[5];
    let g = state[6];
    let h = state[7];
    for (let t = 0; t < 64; t += 1) {
        const s1 = ((e >>> 6) | (e << 26)) ^ ((e >>> 11) | (e << 21)) ^ ((e >>> 25) | (e << 7));
        const first = (h + s1 + ((e & f) ^ (~e & g)) + K[t] + schedule[t]) | 0;
        const s0 = ((a >>> 2) | (a << 30)) ^ ((a >>> 13) | (a << 19)) ^ ((a >>> 22) | (a << 10));
        const second = (s0 + ((a & b) ^ (a & c) ^ (b & c))) | 0;
        h = g; g = f; f = e; e = (d + first) | 0;
        d = c; c = b; b = a; a = (first + second) | 0;
    }
    state[0] += a; state[1] += b; state[2] += c; state[3] += d;
    state[4] += e; state[5] += f; state[6] += g; state[7] += h;
}

/** The last 32 bits of the hash of the first `length` bytes of `block`, which has room for the padding. */
function lastWord(block, view, length) {
    const blocks = (length + 9 + 63) >> 6;
    block.fill(0, length, 64 * blocks);
    block[length] = 0x80;
    view.setUint32(64 * blocks - 4, 8 * length);
    state.set(START);
    for (let at = 0; at < blocks; at += 1) compress(view, 64 * at);
    return state[7];
}

export function find(prefix, label) {
    const wanted = Number.parseInt(label, 16);
    const mask = 2 ** wanted.toString(2).length - 1;
    const start = new TextEncoder().encode(prefix);
    const block = new Uint8Array(start.length + 128);
    const view = new DataView(block.buffer);
    block.set(start);
    for (let count = 0; ; count += 1) {
        const digits = count.toString(36);
        for (let at = 0; at < digits.length; at += 1) block[start.length + at] = digits.charCodeAt(at);
        if (((lastWord(block, view, start.length + digits.length) & mask) >>> 0) === wanted) return prefix + digits;
    }
}

if (typeof self !== 'undefined' && typeof window === 'undefined') {
    self.onmessage = ({ data }) => self.postMessage(find(data.prefix, data.label));
}
