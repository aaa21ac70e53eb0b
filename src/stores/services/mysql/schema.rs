//! The tables of `migrations/mysql`, as far as queries are built on them.

diesel::table! {
    applications (id) {
        id -> Text,
        #[sql_name = "user_name"]
        username -> Text,
        chats_count -> BigInt,
        revision -> BigInt,
        created_at -> Timestamp,
        deleted_at -> Nullable<Timestamp>,
    }
}

diesel::table! {
    chats (app, number) {
        app -> Text,
        number -> BigInt,
        messages_count -> Nullable<BigInt>,
        revision -> BigInt,
        created_at -> Timestamp,
        inserted_by -> BigInt,
        deleted_at -> Nullable<Timestamp>,
        deleted_up_to -> BigInt,
    }
}

diesel::table! {
    messages (app, chat, number) {
        app -> Text,
        chat -> BigInt,
        number -> BigInt,
        text -> Text,
        revision -> BigInt,
        created_at -> Timestamp,
        updated_at -> Nullable<Timestamp>,
        inserted_by -> BigInt,
        sender -> Nullable<Text>,
        data -> Nullable<Text>,
        deleted_at -> Nullable<Timestamp>,
    }
}

diesel::table! {
    outbox (id) {
        id -> BigInt,
        size -> BigInt,
        message_keys -> Text,
    }
}

diesel::table! {
    state (id) {
        id -> BigInt,
        #[sql_name = "queue_epoch"]
        epoch -> BigInt,
        format -> BigInt,
    }
}

diesel::table! {
    history (epoch) {
        epoch -> BigInt,
        mark -> BigInt,
        start -> BigInt,
        continues -> Bool,
        begun -> Bool,
    }
}

diesel::table! {
    index_build (id) {
        id -> BigInt,
        target -> Text,
    }
}

diesel::table! {
    index_build_progress (target) {
        target -> Text,
        last_message -> Text,
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
        created_at -> Timestamp,
        expires_at -> Nullable<Timestamp>,
        revoked_at -> Nullable<Timestamp>,
        last_used -> Nullable<Date>,
        change_number -> BigInt,
    }
}

diesel::table! {
    user_revocations (app, user) {
        app -> Text,
        user -> Binary,
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
    erasures (id) {
        id -> BigInt,
        finished_at -> Nullable<Timestamp>,
    }
}

diesel::joinable!(index_build -> index_build_progress (target));
diesel::allow_tables_to_appear_in_same_query!(index_build, index_build_progress);
diesel::allow_tables_to_appear_in_same_query!(applications, chats, messages);
