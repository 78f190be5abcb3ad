// buffers.js ROUNDS - a proxy's life in node: native buffers of all sizes are filled, sliced, joined, hashed, packed.
// SPDX-License-Identifier: MIT
'use strict';
const crypto = require('crypto');
const zlib = require('zlib');

let state = 12345;
function below(limit) {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    return Math.floor(state / 4294967296 * limit);
}

const digest = crypto.createHash('sha256');
const cache = new Map();
for (let round = 0; round < Number(process.argv[2]); round++) {
    const parts = [];
    for (let i = 0; i < 400; i++) {
        const part = Buffer.allocUnsafeSlow(64 + below(below(8) === 0 ? 262144 : 8192));
        part.fill(below(256));
        part.writeUInt32LE(i, 0);
        parts.push(part);
    }
    const body = Buffer.concat(parts.filter((_, i) => i % 5 === round % 5));
    const packed = zlib.deflateRawSync(body.subarray(0, 131072), {level: 1});
    digest.update(packed);
    digest.update(Buffer.from(body.subarray(0, 6000).toString('base64')));
    cache.set(below(200), body);
}
let total = 0;
for (const body of cache.values()) {
    total += body.length;
}
console.log(digest.digest('hex'), cache.size, total);
