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

    function goTo(href) {
        window.history.pushState({}, '', href);
        window.dispatchEvent(new CustomEvent('_dashprivate_pushstate'));
    }

    // What was typed into a search field goes into the address; the list starts again at its first page.
    function search(field) {
        const query = new URLSearchParams(window.location.search);
        const key = field.closest('[data-search]').dataset.search;
        if (field.value.trim() === (query.get(key) || '')) {
            return;
        }
        query.set(key, field.value.trim());
        if (!field.value.trim()) {
            query.delete(key);
        }
        query.delete('page');
        const page = document.getElementById('page');
        const observer = new MutationObserver(function () {
            observer.disconnect();
            const again = page.querySelector('[data-search] input');
            if (again) {
                again.focus({ preventScroll: true });
            }
        });
        observer.observe(page, { childList: true });
        goTo(window.location.pathname + (query.size ? '?' + query : ''));
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
            goTo(link.href);
        }
        if (link.dataset.go === 'top') {
            window.scrollTo(0, 0);
        }
    });

    document.addEventListener('search', function (event) {  // Enter, and the field's own cross
        if (event.target.closest('[data-search]')) {
            search(event.target);
        }
    }, true);

    document.addEventListener('keydown', function (event) {
        if (event.key === 'Enter' && event.target.closest && event.target.closest('[data-search]')) {
            search(event.target);
        }
        const menu = event.key === 'Escape' && event.target.closest ? event.target.closest('details.menu[open]') : null;
        if (menu) {
            menu.open = false;
            menu.querySelector('summary').focus();
        }
    });
})();
