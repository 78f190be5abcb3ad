// Finds the sections that have all words of the search, as beginnings or parts of words: first those with
// them in the heading, and those where they stand together.
// SPDX-License-Identifier: MIT
"use strict";
const LIMIT = 30;
const AROUND = 90;
const top_ = document.currentScript.dataset.top;
const field = document.getElementById("search");
const found = document.getElementById("found");

function score([, page, heading, text], words) {
    let sum = 0;
    for (const word of words) {
        const inTitle = heading.toLowerCase().includes(word) || page.toLowerCase().includes(word);
        const times = text.toLowerCase().split(word).length - 1;
        if (!inTitle && times === 0)
            return 0;
        sum += (inTitle ? 20 : 0) + Math.min(times, 5);
    }
    return sum + (text.toLowerCase().includes(words.join(" ")) ? 10 : 0);
}

// The text around the words, together if they stand so, else around the first of them; all are marked.
function excerpt(text, words) {
    const together = text.toLowerCase().indexOf(words.join(" "));
    const places = together >= 0 ? [together]
        : words.map(word => text.toLowerCase().indexOf(word)).filter(place => place >= 0);
    const from = Math.max(0, Math.min(...places, text.length) - AROUND);
    const part = document.createElement("p");
    const pattern = new RegExp(`(${words.map(word => word.replace(/[^\p{L}\p{N}]/gu, "\\$&")).join("|")})`, "i");
    (from ? "… " : "").concat(text.slice(from, from + 3 * AROUND)).split(pattern).forEach((piece, index) => {
        part.append(index % 2 ? Object.assign(document.createElement("mark"), {textContent: piece}) : piece);
    });
    return part;
}

function entry([address, page, heading, text], words) {
    const link = Object.assign(document.createElement("a"), {href: top_ + address});
    link.append(Object.assign(document.createElement("b"), {textContent: heading}));
    if (heading !== page)
        link.append(` in ${page}`);
    link.append(excerpt(text, words));
    return link;
}

function search() {
    const words = field.value.toLowerCase().split(/\s+/).filter(word => word.length > 1);
    const results = words.length ? SECTIONS.map(section => [score(section, words), section]).filter(([points]) => points)
        : [];
    results.sort(([first], [second]) => second - first);
    const heading = Object.assign(document.createElement("p"), {
        className: "count",
        textContent: results.length ? `${results.length} sections` + (results.length > LIMIT ? `, the first ${LIMIT}:` : "")
            : "Nothing found.",
    });
    found.replaceChildren(heading, ...results.slice(0, LIMIT).map(([, section]) => entry(section, words)));
    found.hidden = words.length === 0;
}

field.addEventListener("input", search);
found.addEventListener("click", () => { found.hidden = true; });
document.addEventListener("keydown", event => {
    if (event.key === "/" && document.activeElement !== field) {
        event.preventDefault();
        field.select();
        field.focus();
    } else if (event.key === "Escape") {
        found.hidden = true;
        field.blur();
    } else if (event.key === "Enter" && document.activeElement === field) {
        found.querySelector("a")?.click();
    }
});
