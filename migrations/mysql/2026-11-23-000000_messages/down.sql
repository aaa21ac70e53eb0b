DROP TABLE index_build, state, outbox, messages_count_deltas, chats_count_deltas, messages, chats, applications;
