//! The tokens a ring remembers.

use super::*;

#[test]
fn a_remembered_token_is_the_same_identity_until_it_expires() {
    let ring = ring();
    let token = ring.mint(&alice());

    let first = ring.verify_cached(&token, at(ISSUED)).unwrap();
    let again = ring.verify_cached(&token, at(EXPIRES)).unwrap();

    assert!(Arc::ptr_eq(&first, &again));
    assert_eq!(*first, alice());
    assert_eq!(ring.verify_cached(&token, at(EXPIRES + 30)), Err(TokenError::Expired));
    assert_eq!(ring.verify_cached(&token, at(ISSUED - 31)), Err(TokenError::NotYetValid));
}

#[test]
fn bad_tokens_are_not_remembered() {
    let ring = ring();
    let good = ring.mint(&alice());
    ring.verify_cached(&good, at(ISSUED)).unwrap();
    let forged = good.replacen('.', ".A", 1);

    assert!(ring.verify_cached(&forged, at(ISSUED)).is_err());
    assert!(ring.verify_cached(&forged, at(ISSUED)).is_err());
    assert!(ring.verify_cached(&good[..good.len() - 1], at(ISSUED)).is_err());
    assert!(
        KeyRing::new(&tokens(vec![hs256("k1", OTHER_SECRET)]))
            .unwrap()
            .verify_cached(&good, at(ISSUED))
            .is_err()
    );
}
