// Work for node: JSON, maps, buffers, compression and hashing in the thread pool, worker threads.
// SPDX-License-Identifier: MIT
'use strict';
const crypto = require('crypto');
const util = require('util');
const zlib = require('zlib');
const { Worker, isMainThread, parentPort, workerData } = require('worker_threads');

let state = 12345;
const randomNext = (limit) => {
    state = (Math.imul(state, 1103515245) + 12345) & 0x7fffffff;
    return (state >>> 3) % limit;
};
const digest = (data) => crypto.createHash('sha256').update(data).digest('hex');

function jsonWork(scale) {
    const records = Array.from({ length: 20 * scale }, (_, id) => ({
        id, name: 'record ' + randomNext(1e6).toString(16), tags: Array(randomNext(8)).fill('t' + randomNext(50)),
        note: 'n'.repeat(randomNext(300)) + '\u20ac', nested: { previous: id - 1, flag: null },
    }));
    let text = JSON.stringify(records);
    for (const indent of [0, 1, 4]) {
        text = JSON.stringify(JSON.parse(text), null, indent);
    }
    return `json ${text.length} ${digest(text)}`;
}

function buffersWork(scale) {
    const live = new Map();
    const hash = crypto.createHash('sha256');
    for (let i = 0; i < 100 * scale; i++) {
        const size = 1 + randomNext(i % 50 === 0 ? 1000000 : 20000);
        const buffer = Buffer.alloc(size, i & 0xff);
        live.set(randomNext(200), buffer);
        hash.update(buffer.subarray(0, 64));
    }
    let bytes = 0;
    for (const buffer of live.values()) {
        bytes += buffer.length;
    }
    return `buffers ${live.size} ${bytes} ${hash.digest('hex')}`;
}

async function poolWork(scale) {
    const deflate = util.promisify(zlib.deflate);
    const inflate = util.promisify(zlib.inflate);
    const scrypt = util.promisify(crypto.scrypt);
    const texts = Array.from({ length: 16 }, (_, i) => Buffer.from(`${i} some text `.repeat(100 * scale)));
    const back = await Promise.all(texts.map(async (text) => inflate(await deflate(text))));
    const keys = await Promise.all(texts.slice(0, 8).map((_, i) => scrypt(`password ${i}`, 'salt', 32)));
    return `pool ${back.every((text, i) => text.equals(texts[i]))} ${digest(Buffer.concat(keys))}`;
}

const workersWork = (scale) => Promise.all([1, 2, 3, 4].map((seed) => new Promise((resolve, reject) => {
    const worker = new Worker(__filename, { workerData: { seed, scale } });
    worker.once('message', resolve);
    worker.once('error', reject);
})));

async function main() {
    const scale = Number(process.argv[2]);
    console.log(jsonWork(scale));
    console.log(buffersWork(scale));
    console.log(await poolWork(scale));
    console.log((await workersWork(scale)).join('\n'));
}

if (isMainThread) {
    main().catch((error) => { console.error(error); process.exit(1); });
} else {
    state = workerData.seed;
    const scale = workerData.scale / 4;
    parentPort.postMessage(`worker ${workerData.seed} ${jsonWork(scale)} ${buffersWork(scale)}`);
}
