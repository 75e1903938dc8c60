//! Federation without and with sockets: certificates, names, and servers of this process that talk to one another.

mod dane;
mod dns;
mod hostile;
mod identity;
mod kept;
mod neighbours;
mod stories;
