// Makes web/dist, the part of the web client that comes from npm: `npm ci && npm run build`.
//
// Converse.js is published built, so nothing is compiled here. What the pages use is chosen, compressed once (the
// server never compresses), and named after its contents, so that browsers may keep it for ever. `build.rs` puts
// dist into the binary; without it the binary serves its pages with a word that the client is missing.
//
//   dist/version          the name: Converse's version and a hash of everything below
//   dist/files/…          as the browser asks for them; text as .br and .gz, the rest as it is

import { createHash } from 'node:crypto';
import { mkdirSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { brotliCompressSync, constants, gzipSync } from 'node:zlib';

const here = dirname(fileURLToPath(import.meta.url));
const source = join(here, 'node_modules', 'converse.js');
const target = join(here, 'dist');
// A build that fails leaves the last one as it was.
const fresh = join(here, 'dist.new');

// The languages of the pages; English is Converse's own.
const translations = ['zh_CN'];
const calendars = ['en', 'zh-cn'];

const wanted = [
    ['dist/converse.min.js', 'converse.min.js'],
    ['dist/converse.min.css', 'converse.min.css'],
    ['dist/emoji.json', 'emoji.json'],
    // OMEMO; a work of its own, under the GPL 3.
    ['dist/libomemo.esm.min.js', 'libomemo.esm.min.js'],
    ['dist/curve25519_compiled.wasm', 'curve25519_compiled.wasm'],
    // Seals what the client keeps on the device (web/client/sealed.js).
    ...['aes', 'chacha', 'utils', '_arx', '_poly1305', '_polyval']
        .map((name) => [`../@noble/ciphers/${name}.js`, `noble/${name}.js`]),
    ['../@noble/ciphers/LICENSE', 'LICENSE.noble-ciphers.txt'],
    ['dist/webfonts/muli.ttf', 'webfonts/muli.ttf'],
    ['dist/webfonts/baumans.ttf', 'webfonts/baumans.ttf'],
    ['dist/images/logo/conversejs-filled.svg', 'images/logo/conversejs-filled.svg'],
    ['dist/images/custom_emojis/converse.png', 'images/custom_emojis/converse.png'],
    ['dist/images/custom_emojis/xmpp.png', 'images/custom_emojis/xmpp.png'],
    ...translations.map((name) => `chunkjs/locales/${name}-LC_MESSAGES-converse-po.js`).map((p) => [`dist/${p}`, p]),
    ...calendars.map((name) => `chunkjs/locales/dayjs/${name}-js.js`).map((p) => [`dist/${p}`, p]),
    ['LICENSE', 'LICENSE.converse.txt'],
    ['COPYRIGHT', 'COPYRIGHT.converse.txt'],
];

const isText = (name) => /\.(js|css|json|svg|wasm|ttf|txt)$/.test(name);

function put(name, bytes) {
    const path = join(fresh, 'files', name);
    mkdirSync(dirname(path), { recursive: true });
    writeFileSync(path, bytes);
    return bytes.length;
}

const { version } = JSON.parse(readFileSync(join(source, 'package.json')));
rmSync(fresh, { recursive: true, force: true });
const hash = createHash('sha256');
const sums = { files: 0, bytes: 0, br: 0, gz: 0 };
const notices = [['NOTICE.txt', readFileSync(join(here, 'NOTICE.txt'))]];
const files = wanted.map(([from, name]) => [name, readFileSync(join(source, from))]).concat(notices);
for (const [name, bytes] of files) {
    hash.update(`${name}\0${bytes.length}\0`).update(bytes);
    sums.files += 1;
    sums.bytes += bytes.length;
    if (isText(name)) {
        const params = {
            [constants.BROTLI_PARAM_QUALITY]: 11,
            [constants.BROTLI_PARAM_SIZE_HINT]: bytes.length,
        };
        sums.br += put(`${name}.br`, brotliCompressSync(bytes, { params }));
        sums.gz += put(`${name}.gz`, gzipSync(bytes, { level: 9 }));
    } else {
        const length = put(name, bytes);
        sums.br += length;
        sums.gz += length;
    }
}
const name = `${version}-${hash.digest('hex').slice(0, 12)}`;
writeFileSync(join(fresh, 'version'), name);
// The folder itself stays: it is in the repository, so that cargo can watch it.
mkdirSync(target, { recursive: true });
for (const part of ['files', 'version']) {
    rmSync(join(target, part), { recursive: true, force: true });
    renameSync(join(fresh, part), join(target, part));
}
rmSync(fresh, { recursive: true });
console.log(`web client ${name}: ${sums.files} files, ${sums.bytes} bytes, ${sums.br} as brotli, ${sums.gz} as gzip`);
