// SQLite: WAL, synchronous=FULL (each commit is synced), prepared statements, a connection a
// writer.
#include "durable/engine.hpp"

#include <sqlite3.h>
#include <filesystem>
#include <stdexcept>

namespace bench {

namespace {

using Database = std::unique_ptr<sqlite3, int (*)(sqlite3*)>;
using Statement = std::unique_ptr<sqlite3_stmt, int (*)(sqlite3_stmt*)>;

void check(sqlite3* db, int code) {
    if (code != SQLITE_OK && code != SQLITE_DONE && code != SQLITE_ROW)
        throw std::runtime_error(sqlite3_errmsg(db));
}

Database open(const std::string& file) {
    sqlite3* raw = nullptr;
    const int code = sqlite3_open(file.c_str(), &raw);
    Database db(raw, sqlite3_close);
    check(raw, code);
    check(raw, sqlite3_busy_timeout(raw, 60'000));
    check(raw, sqlite3_exec(raw, "pragma journal_mode=wal; pragma synchronous=full;", nullptr,
                            nullptr, nullptr));
    return db;
}

Statement prepare(const Database& db, const char* text) {
    sqlite3_stmt* raw = nullptr;
    const int code = sqlite3_prepare_v2(db.get(), text, -1, &raw, nullptr);
    Statement statement(raw, sqlite3_finalize);
    check(db.get(), code);
    return statement;
}

void put(const Database& db, const Statement& statement, std::uint64_t page,
         std::span<const std::byte> bytes) {
    check(db.get(), sqlite3_bind_blob(statement.get(), 1, bytes.data(),
                                      static_cast<int>(bytes.size()), SQLITE_STATIC));
    check(db.get(), sqlite3_bind_int64(statement.get(), 2, static_cast<sqlite3_int64>(page)));
    check(db.get(), sqlite3_step(statement.get()));
    check(db.get(), sqlite3_reset(statement.get()));
}

class SqliteWriter final : public Writer {
public:
    explicit SqliteWriter(const std::string& file)
        : db_(open(file)), update_(prepare(db_, "update pages set bytes = ?1 where id = ?2")) {}
    void commit(std::uint64_t page, std::span<const std::byte> bytes) override {
        put(db_, update_, page, bytes);
    }

private:
    Database db_;
    Statement update_;
};

class Sqlite final : public Engine {
public:
    explicit Sqlite(const std::string& folder) : file_(folder + "/db") {
        std::filesystem::create_directories(folder);
    }
    void load(std::span<const std::byte> bytes) override {
        const auto db = open(file_);
        const auto run = [&](const char* text) {
            check(db.get(), sqlite3_exec(db.get(), text, nullptr, nullptr, nullptr));
        };
        run("create table pages(id integer primary key, bytes blob); begin");
        const auto insert = prepare(db, "insert into pages(bytes, id) values(?1, ?2)");
        for (std::uint64_t page = 0; page < bytes.size() / page_size; ++page)
            put(db, insert, page, bytes.subspan(page * page_size, page_size));
        run("commit");
    }
    std::unique_ptr<Writer> writer() override { return std::make_unique<SqliteWriter>(file_); }
    std::vector<std::byte> read_again() override {
        const auto db = open(file_);
        const auto select = prepare(db, "select bytes from pages order by id");
        std::vector<std::byte> all;
        while (sqlite3_step(select.get()) == SQLITE_ROW) {
            const auto* const first =
                static_cast<const std::byte*>(sqlite3_column_blob(select.get(), 0));
            all.insert(all.end(), first, first + sqlite3_column_bytes(select.get(), 0));
        }
        return all;
    }

private:
    std::string file_;
};

}  // namespace

Way sqlite_full() {
    return {"SQLite, WAL, FULL", [](const std::string& folder) -> std::unique_ptr<Engine> {
                return std::make_unique<Sqlite>(folder);
            }};
}

}  // namespace bench
