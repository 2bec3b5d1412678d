// Keeps what is marked data-bsync-live as new as the server's, while somebody looks at it. The attribute says how many
// seconds are between two looks. Only what differs is touched, so focus, scrolling, selected text and opened details stay.
"use strict";

(() => {
    const LONGEST_PAUSE = 60_000;
    const live = document.querySelector("[data-bsync-live]");
    const controls = document.querySelector("[data-bsync-refresh]");
    if (!live || !controls) {
        return;
    }
    const button = controls.querySelector("button");
    const note = controls.querySelector("p");
    const interval = Number(live.dataset.bsyncLive) * 1000;
    let pause = interval;
    let timer = null;
    let isLoading = false;

    // What isn't marked any more has come to its end: nothing of it changes.
    function isWanted() {
        return live.hasAttribute("data-bsync-live") && document.visibilityState === "visible" && button.getAttribute("aria-pressed") === "false";
    }

    function schedule(delay) {
        clearTimeout(timer);
        if (!isLoading && isWanted()) {
            timer = setTimeout(refresh, delay);
        }
    }

    async function refresh() {
        isLoading = true;
        try {
            const response = await fetch(location.href, {credentials: "same-origin", signal: AbortSignal.timeout(30_000)});
            if (response.redirected || response.status === 403) {
                end();
                return;
            }
            if (!response.ok) {
                throw new Error(`The server answered ${response.status}.`);
            }
            const page = new DOMParser().parseFromString(await response.text(), "text/html");
            const fresh = page.getElementById(live.id);
            if (!fresh) {
                end();
                return;
            }
            if (isWanted()) {
                bringUpToDate(live, fresh);
            }
            pause = interval;
            controls.hidden = !live.hasAttribute("data-bsync-live");
            say("");
        } catch {
            pause = Math.min(LONGEST_PAUSE, pause * 2);
            say(note.dataset.failed);
        } finally {
            isLoading = false;
            schedule(pause);
        }
    }

    function end() {
        button.setAttribute("aria-pressed", "true");
        button.hidden = true;
        say(note.dataset.ended);
    }

    function say(text) {
        if (note.textContent !== text) {
            note.textContent = text;
        }
    }

    function bringUpToDate(old, fresh) {
        if (old.isEqualNode(fresh)) {
            return;
        }
        if (old.nodeType !== Node.ELEMENT_NODE) {
            old.data = fresh.data;
            return;
        }
        for (const name of old.getAttributeNames()) {
            if (!fresh.hasAttribute(name) && !isTheReaders(old, name)) {
                old.removeAttribute(name);
            }
        }
        for (const name of fresh.getAttributeNames()) {
            if (old.getAttribute(name) !== fresh.getAttribute(name) && !isTheReaders(old, name)) {
                old.setAttribute(name, fresh.getAttribute(name));
            }
        }
        bringChildrenUpToDate(old, fresh);
    }

    function isTheReaders(element, attribute) {
        return element.nodeName === "DETAILS" && attribute === "open";
    }

    function bringChildrenUpToDate(old, fresh) {
        const wanted = new Set([...fresh.childNodes].map(keyOf));
        const known = new Map();
        for (const child of [...old.childNodes]) {
            const key = keyOf(child);
            if (key && (!wanted.has(key) || known.has(key))) {
                child.remove();
            } else if (key) {
                known.set(key, child);
            }
        }
        let next = old.firstChild;
        for (const child of [...fresh.childNodes]) {
            const key = keyOf(child);
            const match = key ? known.get(key) : next;
            if (match && match.nodeName === child.nodeName && keyOf(match) === key) {
                if (match !== next) {
                    old.insertBefore(match, next);
                }
                bringUpToDate(match, child);
                next = match.nextSibling;
            } else {
                old.insertBefore(document.importNode(child, true), next);
            }
        }
        while (next) {
            const surplus = next;
            next = next.nextSibling;
            surplus.remove();
        }
    }

    // What an element is about: its own name, the address that it leads to, or the heading of a table's row.
    function keyOf(node) {
        if (node.nodeType !== Node.ELEMENT_NODE) {
            return "";
        }
        return node.id || node.getAttribute("href") || (node.nodeName === "TR" ? node.firstElementChild.textContent : "");
    }

    button.addEventListener("click", () => {
        button.setAttribute("aria-pressed", String(button.getAttribute("aria-pressed") === "false"));
        schedule(0);
    });
    document.addEventListener("visibilitychange", () => schedule(0));
    controls.hidden = false;
    schedule(pause);
})();
