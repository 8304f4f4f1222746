//! Tables and migrations agree.

use super::*;
use database::Value;

#[test]
fn tables_are_described_as_they_are_migrated() {
    let sql = MIGRATIONS.0.join("\n");
    for table in tables::ALL {
        let start =
            sql.find(&format!("CREATE TABLE {} (", table.name)).unwrap_or_else(|| panic!("{} is not migrated", table.name));
        let text = &sql[start..start + sql[start..].find(';').unwrap()];
        let mut from = 0;
        for column in table.columns {
            let kind = match column.kind {
                database::Kind::Int => "BIGINT",
                database::Kind::Text => "TEXT",
                database::Kind::Blob => "BLOB",
            };
            let at = text[from..].find(&format!("{} {kind}", column.name));
            from += at.unwrap_or_else(|| panic!("{}.{} is not migrated in this order", table.name, column.name));
        }
        for index in table.indexes {
            let columns: Vec<_> = index.columns.iter().map(|at| table.columns[*at].name).collect();
            let unique = if index.unique { "UNIQUE " } else { "" };
            let wanted = format!("CREATE {unique}INDEX {} ON {} ({})", index.name, table.name, columns.join(", "));
            assert!(sql.contains(&wanted), "{wanted}");
        }
    }
    assert_eq!(Value::from(1), Value::Int(1));
}
