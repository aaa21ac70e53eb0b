//! Classification of MySQL's errors, by number and SQLSTATE.
//!
//! diesel passes on the text of an error only, which depends on the server's language and on triggers. So the server is
//! asked for the number on the same connection, right after the failed statement. That it answers also shows that it
//! works: whatever it refused is then the fault of the data, unless the number stands for an outage.

use diesel::{
    prelude::*,
    result::Error as DieselError,
    sql_query,
    sql_types::{BigInt, Text},
};
use diesel_async::{AsyncMysqlConnection, RunQueryDsl, SimpleAsyncConnection};

use crate::stores::Error;

/// Name of this store in errors.
pub(super) const STORE: &str = "MySQL";

/// Cause of a failed statement.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Cause {
    /// The server refused the statement.
    Server {
        /// MySQL's error number.
        number: i64,
        /// SQLSTATE.
        state: String,
    },
    /// The client refused to send the statement; the connection works.
    Client,
    /// The connection is closed or does not respond.
    Connection,
}

/// Effect of an error on the pooled connections.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Effect {
    /// None: the connection can be reused.
    Reuse,
    /// This connection is closed.
    Close,
    /// Every open connection is replaced: the server was restarted, or another one is the primary.
    ReplaceAll,
}

#[derive(QueryableByName)]
struct Condition {
    #[diesel(sql_type = BigInt)]
    number: i64,
    #[diesel(sql_type = Text)]
    state: String,
}

/// Asks for the cause of the statement that just failed on this connection. Warnings may precede the error, which is the
/// last condition.
pub(super) async fn diagnose(connection: &mut AsyncMysqlConnection, error: &DieselError) -> Cause {
    if !matches!(error, DieselError::DatabaseError(..)) {
        return Cause::Client;
    }
    let read = async {
        for statement in [
            "GET DIAGNOSTICS @confab_conditions = NUMBER",
            "GET DIAGNOSTICS CONDITION @confab_conditions \
             @confab_number = MYSQL_ERRNO, @confab_state = RETURNED_SQLSTATE",
        ] {
            connection.batch_execute(statement).await?;
        }
        // Without a condition the second statement leaves what an earlier error wrote.
        sql_query(
            "SELECT IF(@confab_conditions > 0, CAST(@confab_number AS SIGNED), 0) AS number, \
             IF(@confab_conditions > 0, CAST(@confab_state AS CHAR), '') AS state",
        )
        .get_result::<Condition>(connection)
        .await
    };
    match read.await {
        Ok(Condition { number: 0, .. }) => Cause::Client,
        Ok(Condition { number, state }) => Cause::Server { number, state },
        Err(_) => Cause::Connection,
    }
}

/// Numbers that a server returns that may not write: a replica, or a primary that was demoted.
fn is_read_only(number: i64) -> bool {
    // --read-only and the like; super_read_only; read-only transaction; InnoDB read-only; offline mode.
    matches!(number, 1290 | 1836 | 1792 | 1874 | 3032)
}

/// Numbers of missing rights, and of users that the schema names. A connection keeps the rights that it began with.
fn is_about_rights(number: i64) -> bool {
    matches!(
        number,
        1044 | 1045 | 1142 | 1143 | 1227 | 1370 | 1410 | 1449
    )
}

/// Tells whether an error is no fault of the data: the same statement succeeds once the server, its schema or the
/// rights on it are repaired. Everything else is the data's fault.
fn is_outage(number: i64, state: &str) -> bool {
    // A class of SQLSTATE: connection exception, invalid authorization, no database, transaction rollback (deadlock),
    // missing table or column, interrupted.
    let class = ["08", "28", "3D", "40", "42S", "70"];
    if number != PACKET_TOO_LARGE && class.iter().any(|class| state.starts_with(class)) {
        return true;
    }
    is_read_only(number)
        || is_about_rights(number)
        || matches!(
            number,
            // Files, disk, memory and storage engine.
            1015 | 1016 | 1021 | 1023 | 1024 | 1026 | 1030 | 1037 | 1038 | 1041 | 1114 | 1135 | 1180 | 1181
            | 1194 | 1195 | 3675
            // Locks held by others, and limits on connections, transactions and time.
            | 1036 | 1099 | 1203 | 1205 | 1206 | 1213 | 1223 | 1226 | 1637 | 3024 | 3572
            // Shutdown, replication and clients that the server disconnected.
            | 1053 | 1317 | 3098 | 3100 | 3101 | 3168 | 3169 | 4031
        )
}

/// A statement is longer than `max_allowed_packet`.
const PACKET_TOO_LARGE: i64 = 1153;

/// Tells whether the error is that of a statement longer than `max_allowed_packet`. Both sides close the connection then,
/// so the number cannot be asked for. The texts are those of mysql_async, and of the server in the session's language.
fn is_packet_too_large(detail: &str) -> bool {
    detail.ends_with(": packet too large") || detail.starts_with("Got a packet bigger than")
}

/// Classifies an error whose cause is known.
pub(super) fn classify(error: &DieselError, cause: Cause) -> (Error, Effect) {
    let detail = error.to_string();
    match (error, cause) {
        (DieselError::SerializationError(_), _) => (rejected(detail), Effect::Reuse),
        (DieselError::DeserializationError(_), _) => (failed(detail), Effect::Reuse),
        (DieselError::DatabaseError(..), Cause::Server { number, state }) => {
            let detail = format!("{detail} (error {number}, SQLSTATE {state})");
            if is_read_only(number) || is_about_rights(number) {
                (unavailable(&detail), Effect::ReplaceAll)
            } else if is_outage(number, &state) {
                (unavailable(&detail), Effect::Reuse)
            } else {
                (rejected(detail), Effect::Reuse)
            }
        }
        (DieselError::DatabaseError(..), Cause::Client) => (rejected(detail), Effect::Reuse),
        (_, Cause::Connection) if is_packet_too_large(&detail) => (rejected(detail), Effect::Close),
        (_, Cause::Connection) => (unavailable(&detail), Effect::ReplaceAll),
        _ => (unavailable(&detail), Effect::Reuse),
    }
}

fn rejected(detail: String) -> Error {
    Error::Rejected {
        store: STORE,
        detail,
    }
}

fn failed(detail: String) -> Error {
    Error::Failed {
        store: STORE,
        detail,
    }
}

/// Makes the error of an outage.
pub fn unavailable(error: &dyn std::fmt::Display) -> Error {
    Error::Unavailable {
        store: STORE,
        detail: error.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use diesel::result::DatabaseErrorKind;

    use super::*;

    fn of(text: &str, cause: Cause) -> (bool, Effect) {
        let error =
            DieselError::DatabaseError(DatabaseErrorKind::Unknown, Box::new(text.to_owned()));
        let (error, effect) = classify(&error, cause);
        (error.is_outage(), effect)
    }

    fn server(number: i64, state: &str) -> (bool, Effect) {
        let state = state.to_owned();
        of("any text", Cause::Server { number, state })
    }

    #[test]
    fn numbers_decide_and_texts_do_not() {
        for (number, state) in [
            (1644, "45000"),
            (1406, "22001"),
            (1366, "HY000"),
            (1105, "HY000"),
            (1197, "HY000"),
            (1153, "08S01"),
            (3819, "HY000"),
            (1048, "23000"),
        ] {
            assert_eq!(server(number, state), (false, Effect::Reuse), "{number}");
        }
        for (number, state) in [
            (1205, "HY000"),
            (1213, "40001"),
            (1040, "08004"),
            (1317, "70100"),
            (1146, "42S02"),
            (1114, "HY000"),
        ] {
            assert_eq!(server(number, state), (true, Effect::Reuse), "{number}");
        }
        for number in [1290, 1836, 1792, 1142] {
            assert_eq!(
                server(number, "HY000"),
                (true, Effect::ReplaceAll),
                "{number}"
            );
        }
    }

    #[test]
    fn closed_connection_is_an_outage_unless_the_statement_was_too_long() {
        let closed = |text| of(text, Cause::Connection);
        assert_eq!(
            closed("Input/output error: connection closed"),
            (true, Effect::ReplaceAll)
        );
        let too_large = "Input/output error: Input/output error: packet too large";
        assert_eq!(closed(too_large), (false, Effect::Close));
        assert_eq!(of("any text", Cause::Client), (false, Effect::Reuse));
    }
}
