// Cells of the grid of points. Values become React children, so they are shown as text whatever they hold.
var dagcomponentfuncs = (window.dashAgGridComponentFunctions = window.dashAgGridComponentFunctions || {});

dagcomponentfuncs.PointLink = function (props) {
    const href = '/point/' + encodeURIComponent(props.data.fingerprint) + '?run=' + encodeURIComponent(props.run);
    return React.createElement(window.dash_core_components.Link, { href: href, children: String(props.value) });
};

dagcomponentfuncs.ChosenMark = function (props) {
    return props.value ? React.createElement('span', { className: 'pill accent' }, '★ chosen') : '';
};
