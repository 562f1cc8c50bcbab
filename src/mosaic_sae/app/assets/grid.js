// The grid of points in the browser: search, the CV-chosen filter, the count, the export, and its state in the address.
(function () {
    'use strict';

    const clientside = (window.dash_clientside = window.dash_clientside || {});

    // A spreadsheet would run a cell that begins like a formula.
    function cell(value) {
        if (value === null || value === undefined) {
            return '';
        }
        if (typeof value !== 'string') {
            return String(value);
        }
        const safe = /^[=+\-@\t\r]/.test(value) ? "'" + value : value;
        return '"' + safe.replace(/"/g, '""') + '"';
    }

    function sorting(columns) {
        return (columns || [])
            .filter(function (column) { return column.sort; })
            .sort(function (a, b) { return a.sortIndex - b.sortIndex; })
            .map(function (column) { return column.colId + '.' + column.sort; })
            .join(',');
    }

    clientside.mosaic = {
        search: function (text, options) {
            return Object.assign({}, options, { quickFilterText: text || '' });
        },

        chosenOnly: function (clicks, model) {
            const next = Object.assign({}, model);
            if (next.chosen) {
                delete next.chosen;
            } else {
                next.chosen = { filterType: 'text', type: 'equals', filter: 'chosen' };
            }
            return next;
        },

        chosenLabel: function (model) {
            return model && model.chosen ? 'Show all points' : 'Show CV-chosen only';
        },

        count: function (shown, all) {
            if (!shown || !all) {
                return clientside.no_update;
            }
            return shown.length.toLocaleString('en') + ' of ' + all.length.toLocaleString('en') + ' points';
        },

        exportCsv: function (clicks, rows, columns, asked) {
            const lines = [columns.map(function (column) { return cell(column.field); }).join(',')];
            (rows || []).forEach(function (row) {
                lines.push(columns.map(function (column) { return cell(row[column.field]); }).join(','));
            });
            const link = document.createElement('a');
            link.href = URL.createObjectURL(new Blob(['\ufeff' + lines.join('\r\n') + '\r\n'], { type: 'text/csv' }));
            link.download = asked.run + '-points.csv';
            link.click();
            URL.revokeObjectURL(link.href);
            return clientside.no_update;
        },

        // The address follows without a new entry in the history: back leads to the page before, and from there to this state.
        remember: function (model, columns, options, selected, asked) {
            const text = options.quickFilterText;
            const query = new URLSearchParams();
            if (asked.query.run) {
                query.set('run', asked.query.run);
            }
            if (text) {
                query.set('q', text);
            }
            if (model && Object.keys(model).length) {
                query.set('filter', JSON.stringify(model));
            }
            if (sorting(columns)) {
                query.set('sort', sorting(columns));
            }
            const rows = Array.isArray(selected) ? selected.map(function (row) { return row.fingerprint; }) : (selected || {}).ids || [];
            if (rows.length) {
                query.set('points', rows.join(','));
            }
            if (window.location.pathname === '/') {
                const search = query.toString();
                window.history.replaceState(window.history.state, '', search ? '?' + search : '/');
            }
            if (!rows.length) {
                return 'Tick points to compare them';
            }
            const href = '/compare?' + new URLSearchParams({ run: asked.run, points: rows.join(',') });
            return {
                type: 'A',
                namespace: 'dash_html_components',
                props: {
                    href: href, className: 'button', 'data-go': 'top',
                    children: 'Compare ' + rows.length + (rows.length === 1 ? ' point' : ' points'),
                },
            };
        },
    };
})();
