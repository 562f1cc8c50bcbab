// Links of the app (a[data-go]) change the address without loading the app again; menus close when they have been used.
(function () {
    'use strict';

    function closeMenus(except) {
        document.querySelectorAll('details.menu[open]').forEach(function (menu) {
            if (menu !== except) {
                menu.open = false;
            }
        });
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
            window.history.pushState({}, '', link.href);
            window.dispatchEvent(new CustomEvent('_dashprivate_pushstate'));
        }
        if (menu) {
            menu.querySelector('summary').focus();
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
