'use strict';

const profile = JSON.parse(document.getElementById('profile').textContent);
const graph = document.getElementById('graph');
const tip = document.getElementById('tip');
const ROW = 22; // pixels from one row to the next
const LEAST = 0.7; // pixels of a bar's width below which it is not drawn
const LABEL = 24; // pixels of a bar's width below which it has no name
const FIGURE = 220; // pixels of a bar's width from which on its value stands in it

const state = {
    value: document.body.dataset.value, byThread: false, reversed: false, search: '', root: null, zoomed: null
};

/* ---- Words ---- */

function bytesText(bytes) {
    const units = ['KiB', 'MiB', 'GiB', 'TiB'];
    let unit = 0;
    let figure = bytes / 1024;
    while (figure >= 1023.95 && unit < units.length - 1) {
        figure /= 1024;
        unit += 1;
    }
    return figure.toFixed(1) + ' ' + units[unit];
}

function valueText(value) {
    const unit = profile.values.find(row => row.name === state.value).unit;
    if (unit === 'count') {
        return value.toLocaleString('en');
    }
    return unit === 'MiB_ms' ? bytesText(value * 1048576 / 1000) + ' s' : bytesText(value);
}

function timeText(milliseconds) {
    const units = [[86400000, 'd'], [3600000, 'h'], [60000, 'min'], [1000, 's']];
    const [size, name] = units.find(unit => milliseconds >= unit[0]) || [1, 'ms'];
    return Math.floor(milliseconds / size) + ' ' + name;
}

function shareText(part, whole) {
    return (whole > 0 ? 100 * part / whole : 0).toFixed(1) + ' %';
}

/* A name without the arguments of its templates, but for those that it begins with. */
function brief(name) {
    let depth = 0;
    let text = '';
    for (let i = 0; i < name.length; i += 1) {
        const isOperator = /operator[<>=-]*$/.test(name.slice(Math.max(0, i - 11), i));
        if (name[i] === '<' && i > 0 && !isOperator) {
            depth += 1;
            text += depth === 1 ? '<' : '';
        } else if (name[i] === '>' && depth > 0 && name[i - 1] !== '-') {
            depth -= 1;
        }
        text += depth === 0 ? name[i] : '';
    }
    return depth === 0 ? text : name;
}

/* ---- The tree ---- */

function node(name, frame, parent) {
    return {name, frame, parent, total: 0, own: 0, oldest: 0, children: new Map()};
}

function child(parent, key, name, frame) {
    if (!parent.children.has(key)) {
        parent.children.set(key, node(name, frame, parent));
    }
    return parent.children.get(key);
}

function threadName(id) {
    const thread = profile.threads.find(entry => entry.id === id);
    return id === 0 ? 'all threads' : 'thread ' + id + (thread && thread.name ? ' ' + thread.name : '');
}

/* Where the stack's function is that wants the memory. */
function ownerOf(stack) {
    const index = stack.findIndex(frame => !profile.frames[frame].wrapper);
    return index >= 0 ? index : stack.length - 1;
}

/* The frames of a row in the order of the picture: from the outermost call on, or from who wants the memory on. */
function wayOf(stack) {
    return state.reversed ? stack.slice(ownerOf(stack)) : stack.slice().reverse();
}

function rowAdd(root, row) {
    const value = row[state.value] || 0;
    if (value === 0) {
        return;
    }
    let place = state.byThread ? child(root, 'thread ' + row.thread, threadName(row.thread), null) : root;
    const way = [place];
    wayOf(profile.stacks[row.stack]).forEach(index => {
        const frame = profile.frames[index];
        place = child(place, frame.function + '\0' + (frame.module || ''), frame.function, frame);
        way.push(place);
    });
    place.own += value;
    (state.byThread ? [root].concat(way) : way).forEach(step => {
        step.total += value;
        step.oldest = Math.max(step.oldest, row.oldest || 0);
    });
}

function treeMake() {
    const root = node('all', null, null);
    profile.rows.forEach(row => rowAdd(root, row));
    return root;
}

function childrenOf(place) {
    return Array.from(place.children.values()).sort((a, b) => b.total - a.total || (a.name < b.name ? -1 : 1));
}

/* ---- Colours: one hue for each module ---- */

const hues = new Map();

/* Modules with most memory have the hues that are easiest to tell apart. */
function huesChoose() {
    const sums = new Map();
    profile.rows.forEach(row => {
        new Set(profile.stacks[row.stack].map(index => profile.frames[index].module || '')).forEach(module => {
            sums.set(module, (sums.get(module) || 0) + (row.live || row.peak || row.ended || 0));
        });
    });
    const palette = [28, 205, 130, 275, 350, 170, 55, 310, 240, 90];
    const program = profile.program.replace(/.*\//, '');
    const before = (a, b) => (b === program) - (a === program) || sums.get(b) - sums.get(a) || (a < b ? -1 : 1);
    Array.from(sums.keys()).sort(before).forEach((module, index) => hues.set(module, palette[index % palette.length]));
}

function legendDraw() {
    const legend = document.getElementById('legend');
    legend.replaceChildren();
    const entries = Array.from(hues.keys()).slice(0, 8).map(module => [module || 'no file', hues.get(module), '']);
    entries.push(['passes memory on', 0, 'wrapper']);
    entries.forEach(([name, hue, kind]) => {
        const entry = document.createElement('span');
        const mark = document.createElement('i');
        mark.style.setProperty('--hue', hue);
        mark.className = kind;
        entry.append(mark, name);
        legend.append(entry);
    });
}

/* ---- Search ---- */

function isFound(place) {
    const word = state.search.toLowerCase();
    const frame = place.frame || {};
    const texts = [place.name, frame.module, frame.file];
    return word !== '' && texts.some(text => (text || '').toLowerCase().includes(word));
}

/* What lies in or below functions that were found, each byte once. */
function foundTotal(place) {
    if (isFound(place)) {
        return place.total;
    }
    return Array.from(place.children.values()).reduce((sum, next) => sum + foundTotal(next), 0);
}

/* ---- The picture ---- */

function barText(place) {
    return place.name + ', ' + valueText(place.total) + ', ' + shareText(place.total, state.root.total);
}

/* Neighbours of one module differ a little. */
function shade(name) {
    let sum = 0;
    for (let i = 0; i < name.length; i += 1) {
        sum = (sum * 31 + name.charCodeAt(i)) % 997;
    }
    return sum % 7 - 3;
}

function barStyle(bar, place, depth, left, width) {
    bar.style.left = 100 * left + '%';
    bar.style.width = 100 * width + '%';
    bar.style.top = depth * ROW + 'px';
    if (place.frame) {
        bar.style.setProperty('--hue', hues.get(place.frame.module || ''));
        bar.style.setProperty('--shade', shade(place.name) + '%');
    }
}

function barLabel(bar, place, pixels) {
    bar.textContent = pixels < LABEL ? '' : brief(place.name);
    if (pixels >= FIGURE) {
        const figure = document.createElement('small');
        figure.textContent = valueText(place.total);
        bar.prepend(figure);
    }
}

function barDraw(place, depth, left, width, kind) {
    const bar = document.createElement('div');
    const pixels = width * graph.clientWidth;
    bar.className = ['bar', kind, isFound(place) ? 'found' : '', place.frame ? '' : 'whole',
        place.frame && place.frame.wrapper ? 'wrapper' : '', pixels < LABEL ? 'narrow' : ''].join(' ');
    barStyle(bar, place, depth, left, width);
    barLabel(bar, place, pixels);
    bar.setAttribute('role', 'treeitem');
    bar.setAttribute('aria-level', depth + 1);
    bar.setAttribute('aria-label', barText(place));
    bar.tabIndex = -1;
    bar.place = place;
    place.bar = bar;
    graph.append(bar);
}

/* Draws the place and what it called; the deepest row. */
function subtreeDraw(place, depth, left, width) {
    let deepest = depth;
    let x = left;
    barDraw(place, depth, left, width, '');
    childrenOf(place).forEach(next => {
        const share = width * next.total / place.total;
        if (share * graph.clientWidth >= LEAST) {
            deepest = Math.max(deepest, subtreeDraw(next, depth + 1, x, share));
        }
        x += share;
    });
    return deepest;
}

function graphDraw() {
    graph.replaceChildren();
    graph.classList.toggle('searching', state.search !== '');
    const above = [];
    for (let place = state.zoomed.parent; place; place = place.parent) {
        above.unshift(place);
    }
    above.forEach((place, depth) => barDraw(place, depth, 0, 1, 'above'));
    const deepest = state.root.total > 0 ? subtreeDraw(state.zoomed, above.length, 0, 1) : 0;
    graph.style.height = (deepest + 1) * ROW + 'px';
    document.getElementById('reset').disabled = state.zoomed === state.root;
    if (state.zoomed.bar) {
        state.zoomed.bar.tabIndex = 0;
    }
}

function summaryDraw() {
    const row = profile.values.find(entry => entry.name === state.value);
    let text = valueText(state.root.total) + ' ' + row.doc;
    if (state.zoomed !== state.root) {
        text += '; shown: ' + valueText(state.zoomed.total)
            + ' (' + shareText(state.zoomed.total, state.root.total) + ') of ' + brief(state.zoomed.name);
    }
    if (state.search !== '') {
        const found = foundTotal(state.root);
        text += '; found: ' + valueText(found) + ' (' + shareText(found, state.root.total) + ')';
    }
    document.getElementById('summary').textContent = text;
}

/* ---- The table ---- */

function ownersSum() {
    const owners = new Map();
    profile.rows.forEach(row => {
        const stack = profile.stacks[row.stack];
        const frame = profile.frames[stack[ownerOf(stack)]];
        const key = frame.function + '\0' + (frame.module || '');
        const owner = owners.get(key) || {frame, value: 0, oldest: 0};
        owner.value += row[state.value] || 0;
        owner.oldest = Math.max(owner.oldest, row.oldest || 0);
        owners.set(key, owner);
    });
    return Array.from(owners.values()).filter(owner => owner.value > 0).sort((a, b) => b.value - a.value).slice(0, 30);
}

function placeText(frame) {
    const file = frame.file ? frame.file.replace(/.*\//, '') + ':' + frame.line : '';
    return [file, frame.module].filter(text => text).join(', ');
}

function ownersDraw() {
    const body = document.querySelector('#owners tbody');
    body.replaceChildren();
    document.querySelector('#owners th').textContent = state.value;
    ownersSum().forEach(owner => {
        const line = body.insertRow();
        line.insertCell().textContent = valueText(owner.value);
        line.insertCell().textContent = shareText(owner.value, state.root.total);
        line.insertCell().textContent = owner.oldest > 0 ? timeText(owner.oldest) : '-';
        const name = document.createElement('button');
        const where = document.createElement('small');
        name.type = 'button';
        name.textContent = brief(owner.frame.function);
        name.title = owner.frame.function;
        name.addEventListener('click', () => searchFor(owner.frame.function));
        where.textContent = ' ' + placeText(owner.frame);
        line.insertCell().append(name, where);
    });
}

/* ---- The whole ---- */

function draw() {
    graphDraw();
    summaryDraw();
}

function redo() {
    state.root = treeMake();
    state.zoomed = state.root;
    document.getElementById('below').textContent = state.reversed ? 'who called it' : 'what it called';
    draw();
    ownersDraw();
}

function zoom(place) {
    state.zoomed = place;
    tip.hidden = true;
    draw();
    place.bar.focus({preventScroll: true});
}

function searchFor(word) {
    state.search = word;
    document.getElementById('search').value = word;
    draw();
}

/* ---- The tip ---- */

function tipShow(place, x, y) {
    const lines = [valueText(place.total) + ', ' + shareText(place.total, state.root.total)
        + (place.own > 0 && place.own < place.total ? '; by itself ' + valueText(place.own) : '')];
    if (place.frame) {
        lines.push(placeText(place.frame) + (place.frame.inlined ? ' (inlined)' : ''));
    }
    if (place.oldest > 0) {
        lines.push('oldest live block: ' + timeText(place.oldest));
    }
    const name = document.createElement('b');
    name.textContent = place.name;
    tip.replaceChildren(name, ...lines.filter(line => line.trim()).map(line => {
        const text = document.createElement('span');
        text.textContent = line;
        return text;
    }));
    tip.hidden = false;
    tip.style.left = Math.max(8, Math.min(x + 12, innerWidth - tip.offsetWidth - 8)) + 'px';
    tip.style.top = (y + 18 + tip.offsetHeight > innerHeight ? y - tip.offsetHeight - 10 : y + 18) + 'px';
}

graph.addEventListener('mousemove', event => {
    const bar = event.target.closest('.bar');
    tip.hidden = !bar;
    if (bar) {
        tipShow(bar.place, event.clientX, event.clientY);
    }
});
graph.addEventListener('mouseleave', () => { tip.hidden = true; });
graph.addEventListener('click', event => {
    const bar = event.target.closest('.bar');
    if (bar) {
        zoom(bar.place);
    }
});
graph.addEventListener('focusin', event => {
    const box = event.target.getBoundingClientRect();
    if (event.target.matches(':focus-visible')) {
        tipShow(event.target.place, box.left, box.top + 4);
    }
});
graph.addEventListener('focusout', () => { tip.hidden = true; });

/* ---- Keys ---- */

/* The bar beside this one, of the same parent. */
function sibling(place, step) {
    const drawn = place.parent ? childrenOf(place.parent).filter(next => next.bar && next.bar.isConnected) : [];
    return drawn[drawn.indexOf(place) + step];
}

const moves = {
    ArrowUp: place => place.parent,
    ArrowDown: place => childrenOf(place).find(next => next.bar && next.bar.isConnected),
    ArrowLeft: place => sibling(place, -1),
    ArrowRight: place => sibling(place, 1)
};

graph.addEventListener('keydown', event => {
    const place = event.target.place;
    if (moves[event.key]) {
        const next = moves[event.key](place);
        event.preventDefault();
        if (next && next.bar) {
            event.target.tabIndex = -1;
            next.bar.tabIndex = 0;
            next.bar.focus();
        }
    } else if (event.key === 'Enter' || event.key === ' ') {
        event.preventDefault();
        zoom(place);
    }
});
document.addEventListener('keydown', event => {
    if (event.key === 'Escape') {
        searchFor('');
        zoom(state.root);
    } else if (event.key === '/' && event.target.id !== 'search') {
        event.preventDefault();
        document.getElementById('search').focus();
    }
});

/* ---- The beginning ---- */

function valuesDraw() {
    const known = new Set();
    profile.rows.forEach(row => Object.keys(row).forEach(name => known.add(name)));
    profile.values.filter(row => known.has(row.name) || row.name === state.value).forEach(row => {
        const label = document.createElement('label');
        const choice = document.createElement('input');
        choice.type = 'radio';
        choice.name = 'value';
        choice.value = row.name;
        choice.checked = row.name === state.value;
        choice.addEventListener('change', () => {
            state.value = row.name;
            redo();
        });
        label.title = row.doc;
        label.append(choice, row.name);
        document.getElementById('values').append(label);
    });
}

function titleDraw() {
    const program = profile.program.replace(/.*\//, '') || 'process';
    document.getElementById('title').textContent = 'Heap of ' + program;
    document.title = 'Heap of ' + program;
    const number = profile.process > 0 ? 'Process ' + profile.process : 'A process';
    document.getElementById('about').textContent = number + ' on hakmem ' + profile.library + ', '
        + new Date(profile.when).toLocaleString() + ', when it had run for ' + timeText(profile.duration) + ': '
        + profile.samples + ' samples of live blocks, one for each ' + bytesText(profile.interval) + ' on average';
}

document.getElementById('threads').addEventListener('change', event => {
    state.byThread = event.target.checked;
    redo();
});
document.getElementById('reversed').addEventListener('change', event => {
    state.reversed = event.target.checked;
    redo();
});
document.getElementById('search').addEventListener('input', event => searchFor(event.target.value));
document.getElementById('reset').addEventListener('click', () => zoom(state.root));
document.getElementById('controls').addEventListener('submit', event => event.preventDefault());
addEventListener('resize', graphDraw);

titleDraw();
huesChoose();
valuesDraw();
legendDraw();
redo();
