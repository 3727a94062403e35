// SQLite: WAL; synchronous=FULL (each commit is synced) or OFF; prepared statements, a connection a
// writer.
#include "stores/store.hpp"

#include <sqlite3.h>
#include <algorithm>
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

struct Settings {
    std::string file{};
    const char* pragmas = nullptr;
    bool checkpoints = true;
};

void run(const Database& db, const char* text) {
    check(db.get(), sqlite3_exec(db.get(), text, nullptr, nullptr, nullptr));
}

Database open(const Settings& settings) {
    sqlite3* raw = nullptr;
    const int code = sqlite3_open(settings.file.c_str(), &raw);
    Database db(raw, sqlite3_close);
    check(raw, code);
    check(raw, sqlite3_busy_timeout(raw, 60'000));
    run(db, settings.pragmas);
    if (!settings.checkpoints) run(db, "pragma wal_autocheckpoint=0");
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
    explicit SqliteWriter(const Settings& settings)
        : db_(open(settings)), update_(prepare(db_, "update pages set bytes = ?1 where id = ?2")) {}
    void commit(std::uint64_t page, std::span<const std::byte> bytes) override {
        put(db_, update_, page, bytes);
    }

private:
    Database db_;
    Statement update_;
};

std::span<const std::byte> blob_of(const Statement& row) {
    return {static_cast<const std::byte*>(sqlite3_column_blob(row.get(), 0)),
            static_cast<std::size_t>(sqlite3_column_bytes(row.get(), 0))};
}

class Sqlite final : public Store {
public:
    explicit Sqlite(Settings settings) : settings_(std::move(settings)), db_(open(settings_)) {}
    void load(std::span<const std::byte> bytes) override {
        run(db_, "create table pages(id integer primary key, bytes blob); begin");
        const auto insert = prepare(db_, "insert into pages(bytes, id) values(?1, ?2)");
        for (std::uint64_t page = 0; page < bytes.size() / page_size; ++page)
            put(db_, insert, page, bytes.subspan(page * page_size, page_size));
        run(db_, "commit");
    }
    std::unique_ptr<Writer> writer() override { return std::make_unique<SqliteWriter>(settings_); }
    void read(std::uint64_t page, std::span<std::byte> out) override {
        const auto select = prepare(db_, "select bytes from pages where id = ?1");
        check(db_.get(), sqlite3_bind_int64(select.get(), 1, static_cast<sqlite3_int64>(page)));
        if (sqlite3_step(select.get()) != SQLITE_ROW) throw std::runtime_error("no such row");
        std::ranges::copy(blob_of(select), out.begin());
    }
    std::vector<std::byte> read_all() override {
        const auto select = prepare(db_, "select bytes from pages order by id");
        std::vector<std::byte> all;
        while (sqlite3_step(select.get()) == SQLITE_ROW) {
            const auto bytes = blob_of(select);
            all.insert(all.end(), bytes.begin(), bytes.end());
        }
        return all;
    }
    void checkpoint() override { run(db_, "pragma wal_checkpoint(truncate)"); }
    void reopen() override {
        db_.reset();
        db_ = open(settings_);
    }

private:
    Settings settings_;
    Database db_;
};

}  // namespace

Way sqlite_store(Survives survives, Checkpoints checkpoints) {
    const bool waits = survives == Survives::power_cut;
    const bool usual = checkpoints == Checkpoints::usual;
    std::string name = waits ? "SQLite, WAL, FULL" : "SQLite, WAL, OFF";
    if (!usual) name += ", all in its log";
    return {name, [=](const std::string& folder) {
                std::filesystem::create_directories(folder);
                return std::make_unique<Sqlite>(
                    Settings{.file = folder + "/db",
                             .pragmas = waits ? "pragma journal_mode=wal; pragma synchronous=full"
                                              : "pragma journal_mode=wal; pragma synchronous=off",
                             .checkpoints = usual});
            }};
}

}  // namespace bench
