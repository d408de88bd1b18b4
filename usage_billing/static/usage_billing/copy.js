// Buttons that copy: `data-copy` its text, `data-copy-link` the address of a link, which without JavaScript just opens.
(() => {
    const announced = (element) => {
        const before = element.textContent;
        element.textContent = element.dataset.copied;
        setTimeout(() => {
            element.textContent = before;
        }, 1500);
    };
    const copy = async (event) => {
        const element = event.target.closest("[data-copy], [data-copy-link]");
        if (!element || event.ctrlKey || event.metaKey || event.shiftKey || !navigator.clipboard) {
            return;
        }
        event.preventDefault();
        await navigator.clipboard.writeText(element.dataset.copy ?? element.href);
        announced(element);
    };
    document.addEventListener("click", copy);
    if (navigator.clipboard) {
        const show = (root) => {
            for (const button of root.querySelectorAll("[data-copy][hidden]")) {
                button.hidden = false;
            }
        };
        show(document);
        new MutationObserver((changes) => {
            for (const change of changes) {
                change.addedNodes.forEach((node) => node.querySelectorAll && show(node));
            }
        }).observe(document.body, { childList: true });
    }
})();
