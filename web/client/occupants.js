// Who is in a room: counted without those who have left, whom Converse keeps in the list while they belong to the room; and what
// a room says of its archive, once.

import { extendElement, fill } from './elements.js';

/** That a room keeps an archive, and that it keeps none any more (XEP-0045 §15.6.2). */
const ARCHIVE_CODES = ['170', '171'];

/** Converse words these before it knows the language: whether somebody is there. */
function translateStatus(api, name) {
    const { i18n } = window.converse.env;
    extendElement(api, name, (Item) => class extends Item {
        updated(changed) {
            super.updated?.(changed);
            for (const icon of this.querySelectorAll('.chat-status[title]')) icon.title = i18n.translate(icon.title);
        }
    });
}

export function countOccupants({ api }, { words }) {
    translateStatus(api, 'converse-muc-occupant-list-item');
    translateStatus(api, 'converse-roster-contact');
    extendElement(api, 'converse-muc-occupants', (List) => class extends List {
        initialize() {
            super.initialize();
            this.listenTo(this.model.occupants, 'change:presence', () => this.requestUpdate());
        }

        updated(changed) {
            super.updated?.(changed);
            const heading = this.querySelector('.occupants-heading');
            if (!heading) return;
            // Beside Converse's own, which it goes on writing.
            const own = heading.parentElement.querySelector('.kim-occupants') ?? document.createElement('span');
            own.className = 'kim-occupants sidebar-heading';
            const count = this.model.occupants.filter((occupant) => occupant.get('presence') === 'online').length;
            own.textContent = count === 1 ? words.participants_one : fill(words.participants, count);
            heading.after(own);
        }
    });

    // A room says it when one enters and again with each change of its settings.
    api.listen.on('chatRoomInitialized', (room) => {
        const create = room.createMessage.bind(room);
        let said;
        room.createMessage = (attrs, options) => {
            const code = String(attrs.code);
            if (attrs.type === 'info' && ARCHIVE_CODES.includes(code)) {
                if (said === code) return undefined;
                said = code;
            }
            return create(attrs, options);
        };
    });
}
