//! Certificates without a network.
