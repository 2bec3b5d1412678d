// Copies the text of the element that a button marked data-bsync-copy names. Without this the buttons stay hidden.
"use strict";

(() => {
    const SHOWN_FOR = 2000;

    async function copy(element) {
        if (navigator.clipboard) {
            await navigator.clipboard.writeText(element.textContent);
            return;
        }
        // A site without TLS has no clipboard: there what is selected can be copied.
        getSelection().selectAllChildren(element);
        if (!document.execCommand("copy")) {
            throw new Error("Nothing was copied.");
        }
    }

    for (const button of document.querySelectorAll("[data-bsync-copy]")) {
        const element = document.getElementById(button.dataset.bsyncCopy);
        const label = button.textContent;
        let timer = null;
        if (!element) {
            continue;
        }
        button.setAttribute("aria-live", "polite");
        button.addEventListener("click", async () => {
            try {
                await copy(element);
                button.textContent = button.dataset.bsyncDone;
            } catch {
                button.textContent = button.dataset.bsyncFailed;
            }
            clearTimeout(timer);
            timer = setTimeout(() => {
                button.textContent = label;
            }, SHOWN_FOR);
        });
        button.hidden = false;
    }
})();
