//! What the bench and the verifier behind nginx' `auth_request` share.

pub mod token;
