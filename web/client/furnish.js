// Everything that is added to Converse, in one place. Called once, while Converse initializes its plugins.

import { showRequests } from './contacts.js';
import { explainRefusals } from './files.js';
import { offerInvitations } from './invite.js';
import { offerNotifications } from './notify.js';
import { countOccupants } from './occupants.js';
import { offerRooms } from './rooms.js';
import { markClearText } from './secrecy.js';
import { keepTitle } from './title.js';
import { countUnreadable } from './unreadable.js';
import { suggestNext } from './welcome.js';

export function furnish(inner, page) {
    explainRefusals(inner, page);
    countUnreadable(inner, page);
    keepTitle(inner, page);
    markClearText(inner, page);
    countOccupants(inner, page);
    // Guests come for one room: they have neither contacts nor other rooms.
    if (page.kind === 'room') return;
    offerRooms(inner, page);
    offerInvitations(inner, page);
    showRequests(inner, page);
    suggestNext(inner, page);
    offerNotifications(inner, page);
}
