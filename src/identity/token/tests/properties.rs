//! What holds for every token and every text.

use proptest::prelude::*;

use super::*;

proptest! {
    #[test]
    fn what_was_minted_verifies(
        user in any::<u128>(), session in any::<u128>(), version in any::<u64>(),
        username in "[a-zA-Z0-9][a-zA-Z0-9._@+-]{0,63}",
        roles in proptest::collection::vec("[a-z0-9][a-z0-9_.:-]{0,20}", 0..8),
        scopes in proptest::collection::vec("[a-z:]{1,9}", 0..4),
        lifetime in 1u64..=900,
    ) {
        let identity = Identity {
            user_id: Uuid::from_u128(user), session_id: Uuid::from_u128(session), version, username, roles, scopes,
            expires_at: ISSUED + lifetime, ..alice()
        };
        let ring = ring();
        let token = ring.mint(&identity);
        prop_assert_eq!(ring.verify(&token, at(ISSUED)), Ok(identity.clone()));
        prop_assert_eq!(&*ring.verify_cached(&token, at(ISSUED)).unwrap(), &identity);
    }

    #[test]
    fn any_flipped_bit_is_refused(place in any::<prop::sample::Index>(), bit in 0u8..8) {
        let ring = ring();
        let token = ring.mint(&alice());
        let mut bytes = token.clone().into_bytes();
        let place = place.index(bytes.len());
        bytes[place] ^= 1 << bit;
        if let Ok(changed) = String::from_utf8(bytes) {
            prop_assert!(ring.verify(&changed, at(ISSUED)).is_err());
            prop_assert!(ring.verify_cached(&changed, at(ISSUED)).is_err());
        }
    }

    #[test]
    fn no_text_makes_it_panic(bytes in proptest::collection::vec(any::<u8>(), 0..300), payload in ".{1,200}") {
        let ring = ring();
        prop_assert!(ring.verify(&String::from_utf8_lossy(&bytes), at(ISSUED)).is_err());
        // Garbage that gets past the signature.
        prop_assert_eq!(ring.verify(&signed(&header().to_string(), &payload), at(ISSUED)), Err(TokenError::Invalid));
        prop_assert!(ring.verify(&signed(&payload, &claims().to_string()), at(ISSUED)).is_err());
    }
}
