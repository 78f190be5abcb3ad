// The page is complete without this. It adds the switch between light and dark, tips that show at once, and buttons
// that copy commands.
'use strict';
(function () {
    var root = document.documentElement;

    function themeNow() {
        return root.dataset.theme || (matchMedia('(prefers-color-scheme: dark)').matches ? 'dark' : 'light');
    }

    document.getElementById('theme').addEventListener('click', function () {
        root.dataset.theme = themeNow() === 'dark' ? 'light' : 'dark';
    });

    var tip = document.createElement('div');
    tip.id = 'tip';
    tip.hidden = true;
    document.body.append(tip);

    // The text moves out of <title> or title="", or else the browser would show it a second time, later.
    function tipText(element) {
        if (element.dataset.tip === undefined) {
            var title = element.querySelector(':scope > title');
            element.dataset.tip = title ? title.textContent : element.getAttribute('title') || '';
            if (title) {
                title.remove();
                element.setAttribute('aria-label', element.dataset.tip);
            }
            element.removeAttribute('title');
        }
        return element.dataset.tip;
    }

    document.addEventListener('mouseover', function (event) {
        var element = event.target.closest('.mark, .line, .share, td[data-median]');
        var text = element ? tipText(element) : '';
        tip.hidden = text === '';
        tip.textContent = text;
    });
    document.addEventListener('mousemove', function (event) {
        if (!tip.hidden) {
            var left = Math.min(event.clientX + 14, innerWidth - tip.offsetWidth - 8);
            tip.style.left = left + 'px';
            tip.style.top = event.clientY + 18 + 'px';
        }
    });

    document.querySelectorAll('.command').forEach(function (box) {
        var button = document.createElement('button');
        button.type = 'button';
        button.textContent = 'copy';
        button.addEventListener('click', function () {
            navigator.clipboard.writeText(box.querySelector('pre').textContent).then(function () {
                button.textContent = 'copied';
            });
        });
        box.append(button);
    });
    root.dataset.ready = 'yes';
})();
