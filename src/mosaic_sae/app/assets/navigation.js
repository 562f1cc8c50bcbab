// Links of the app (a[data-go]) change the address without loading the app again; menus close when they have been used.
// A page is drawn anew for each address, which loses the keyboard's place: it goes to the same link again, or to the page's beginning.
(function () {
    'use strict';

    function closeMenus(except) {
        document.querySelectorAll('details.menu[open]').forEach(function (menu) {
            if (menu !== except) {
                menu.open = false;
            }
        });
    }

    function focusWhenDrawn(href, stays) {
        const page = document.getElementById('page');
        const observer = new MutationObserver(function () {
            observer.disconnect();
            const links = stays ? Array.from(page.querySelectorAll('a[data-go]')) : [];
            const same = links.find(function (link) { return link.getAttribute('href') === href; });
            const menu = same && same.closest('details.menu');
            (menu ? menu.querySelector('summary') : same || page).focus({ preventScroll: true });
        });
        observer.observe(page, { childList: true });
    }

    document.addEventListener('click', function (event) {
        const menu = event.target.closest('details.menu');
        const link = event.target.closest('a[data-go]');
        if (!link) {
            closeMenus(menu);
            return;
        }
        if (event.defaultPrevented || event.button || event.metaKey || event.ctrlKey || event.shiftKey || event.altKey) {
            return;
        }
        event.preventDefault();
        closeMenus(null);
        if (link.href !== window.location.href) {
            focusWhenDrawn(link.getAttribute('href'), link.dataset.go === 'stay');
            window.history.pushState({}, '', link.href);
            window.dispatchEvent(new CustomEvent('_dashprivate_pushstate'));
        }
        if (link.dataset.go === 'top') {
            window.scrollTo(0, 0);
        }
    });

    document.addEventListener('keydown', function (event) {
        const menu = event.key === 'Escape' && event.target.closest ? event.target.closest('details.menu[open]') : null;
        if (menu) {
            menu.open = false;
            menu.querySelector('summary').focus();
        }
    });
})();
