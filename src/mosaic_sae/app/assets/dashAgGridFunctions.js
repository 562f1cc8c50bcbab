// Enter on the focused cell of the first column opens its point: cells take the keyboard focus, links inside them do not.
var dagfuncs = (window.dashAgGridFunctions = window.dashAgGridFunctions || {});

dagfuncs.openPoint = function (params) {
    if (params.event && params.event.key === 'Enter' && params.column && params.column.getColId() === 'method') {
        const link = params.event.target.querySelector('a');
        if (link) {
            link.click();
        }
    }
};
