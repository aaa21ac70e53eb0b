//! The tables of `migrations/sqlite`, as far as queries are built on them.

diesel::table! {
    applications (id) {
        id -> Text,
        username -> Text,
        chats_count -> BigInt,
        revision -> BigInt,
        created_at -> BigInt,
        deleted_at -> Nullable<BigInt>,
    }
}

diesel::table! {
    chats (app, number) {
        app -> Text,
        number -> BigInt,
        messages_count -> Nullable<BigInt>,
        revision -> BigInt,
        created_at -> BigInt,
        deleted_at -> Nullable<BigInt>,
        deleted_up_to -> BigInt,
    }
}

diesel::table! {
    messages (id) {
        id -> BigInt,
        app -> Text,
        chat -> BigInt,
        number -> BigInt,
        text -> Text,
        revision -> BigInt,
        created_at -> BigInt,
        updated_at -> Nullable<BigInt>,
        sender -> Nullable<Text>,
        data -> Nullable<Text>,
        deleted_at -> Nullable<BigInt>,
    }
}

diesel::table! {
    app_numbers (app) {
        app -> Text,
        chats -> BigInt,
        deleted -> Bool,
        deleted_chats -> BigInt,
    }
}

diesel::table! {
    chat_numbers (id) {
        id -> BigInt,
        app -> Text,
        number -> BigInt,
        messages -> BigInt,
        deleted -> Bool,
    }
}

diesel::table! {
    state (id) {
        id -> BigInt,
        revision -> BigInt,
    }
}

diesel::table! {
    jobs (id) {
        id -> BigInt,
        kind -> Text,
        state -> Text,
        app -> Text,
        chat -> BigInt,
        number -> BigInt,
        superseded -> BigInt,
        payload -> Text,
        accepted_at -> BigInt,
        lease -> Nullable<Text>,
        due -> Nullable<BigInt>,
        tries -> BigInt,
        crashes -> BigInt,
        error -> Nullable<Text>,
    }
}

diesel::table! {
    leases (token) {
        token -> Text,
        claimer -> Text,
        until -> BigInt,
    }
}

diesel::table! {
    job_counts (kind, state) {
        kind -> Text,
        state -> Text,
        jobs -> BigInt,
    }
}

diesel::table! {
    paused_kinds (kind) {
        kind -> Text,
    }
}

diesel::table! {
    search_indexes (name) {
        name -> Text,
        role -> Nullable<Text>,
    }
}

diesel::table! {
    index_build (id) {
        id -> BigInt,
        target -> Text,
        last_message -> Nullable<Text>,
        done -> BigInt,
    }
}

diesel::table! {
    access_keys (id) {
        id -> Text,
        app -> Nullable<Text>,
        name -> Text,
        read_only -> Bool,
        hash -> Binary,
        signing_secret -> Nullable<Binary>,
        created_at -> BigInt,
        expires_at -> Nullable<BigInt>,
        revoked_at -> Nullable<BigInt>,
        last_used -> Nullable<Text>,
        change_number -> BigInt,
    }
}

diesel::table! {
    user_revocations (app, user) {
        app -> Text,
        user -> Text,
        issued_until -> BigInt,
        change_number -> BigInt,
    }
}

diesel::table! {
    credential_changes (id) {
        id -> BigInt,
        number -> BigInt,
    }
}

diesel::table! {
    idempotency_keys (id) {
        id -> Binary,
        app -> Text,
        chat -> BigInt,
        number -> BigInt,
        body -> Nullable<Binary>,
    }
}

diesel::table! {
    erasures (id) {
        id -> BigInt,
        app -> Text,
        chat -> BigInt,
        user -> Nullable<Text>,
        until_revision -> BigInt,
        position -> Text,
        erased -> BigInt,
        requested_at -> BigInt,
        finished_at -> Nullable<BigInt>,
    }
}

diesel::table! {
    deletions (id) {
        id -> BigInt,
        app -> Text,
        chat -> BigInt,
        number -> BigInt,
        up_to -> Bool,
        deleted_at -> BigInt,
    }
}

diesel::table! {
    compaction (id) {
        id -> BigInt,
        deletions -> BigInt,
        target -> Nullable<BigInt>,
        began_at -> Nullable<BigInt>,
        page -> BigInt,
    }
}

diesel::table! {
    history (number) {
        number -> BigInt,
        mark -> BigInt,
        start -> BigInt,
    }
}

diesel::allow_tables_to_appear_in_same_query!(app_numbers, applications, chat_numbers, chats);
