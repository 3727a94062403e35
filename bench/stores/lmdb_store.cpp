// LMDB, a commit each. As it is by default, each is written and synced. (With MDB_WRITEMAP that is
// an msync.)
#include "stores/store.hpp"

#include <lmdb.h>
#include <algorithm>
#include <cstring>
#include <filesystem>
#include <stdexcept>

namespace bench {

namespace {

void check(int code) {
    if (code != MDB_SUCCESS) throw std::runtime_error(mdb_strerror(code));
}

MDB_val key_of(std::uint64_t& page) { return {sizeof page, &page}; }

class LmdbWriter final : public Writer {
public:
    LmdbWriter(MDB_env* env, MDB_dbi dbi) : env_(env), dbi_(dbi) {}
    void commit(std::uint64_t page, std::span<const std::byte> bytes) override {
        MDB_txn* txn = nullptr;
        check(mdb_txn_begin(env_, nullptr, 0, &txn));
        auto key = key_of(page);
        MDB_val value{bytes.size(), nullptr};
        check(mdb_put(txn, dbi_, &key, &value, MDB_RESERVE));
        std::memcpy(value.mv_data, bytes.data(), bytes.size());
        check(mdb_txn_commit(txn));
    }

private:
    MDB_env* env_;
    MDB_dbi dbi_;
};

class Lmdb final : public Store {
public:
    Lmdb(const std::string& folder, unsigned flags) : folder_(folder), flags_(flags) {
        std::filesystem::create_directories(folder);
        open();
    }
    ~Lmdb() override { mdb_env_close(env_); }
    Lmdb(const Lmdb&) = delete;
    Lmdb& operator=(const Lmdb&) = delete;
    void load(std::span<const std::byte> bytes) override {
        MDB_txn* txn = nullptr;
        check(mdb_txn_begin(env_, nullptr, 0, &txn));
        for (std::uint64_t page = 0; page < bytes.size() / page_size; ++page) {
            auto key = key_of(page);
            MDB_val value{page_size, const_cast<std::byte*>(bytes.data()) + page * page_size};
            check(mdb_put(txn, dbi_, &key, &value, 0));
        }
        check(mdb_txn_commit(txn));
    }
    std::unique_ptr<Writer> writer() override { return std::make_unique<LmdbWriter>(env_, dbi_); }
    void read(std::uint64_t page, std::span<std::byte> out) override {
        MDB_txn* txn = nullptr;
        check(mdb_txn_begin(env_, nullptr, MDB_RDONLY, &txn));
        auto key = key_of(page);
        MDB_val value{};
        const int code = mdb_get(txn, dbi_, &key, &value);
        if (code == MDB_SUCCESS)
            std::memcpy(out.data(), value.mv_data, std::min(out.size(), value.mv_size));
        mdb_txn_abort(txn);
        check(code);
    }
    std::vector<std::byte> read_all() override {
        MDB_txn* txn = nullptr;
        check(mdb_txn_begin(env_, nullptr, MDB_RDONLY, &txn));
        MDB_cursor* cursor = nullptr;
        check(mdb_cursor_open(txn, dbi_, &cursor));
        std::vector<std::byte> bytes;
        for (MDB_val key{}, value{}; mdb_cursor_get(cursor, &key, &value, MDB_NEXT) == 0;) {
            const auto* const first = static_cast<const std::byte*>(value.mv_data);
            bytes.insert(bytes.end(), first, first + value.mv_size);
        }
        mdb_cursor_close(cursor);
        mdb_txn_abort(txn);
        return bytes;
    }
    void reopen() override {
        mdb_env_close(env_);
        open();
    }

private:
    void open() {
        check(mdb_env_create(&env_));
        check(mdb_env_set_mapsize(env_, std::size_t{1} << 30U));
        check(mdb_env_open(env_, folder_.c_str(), flags_, 0600));
        MDB_txn* txn = nullptr;
        check(mdb_txn_begin(env_, nullptr, 0, &txn));
        check(mdb_dbi_open(txn, nullptr, MDB_INTEGERKEY, &dbi_));
        check(mdb_txn_commit(txn));
    }
    std::string folder_;
    unsigned flags_;
    MDB_env* env_ = nullptr;
    MDB_dbi dbi_ = 0;
};

}  // namespace

Way lmdb_store(Survives survives) {
    const bool waits = survives == Survives::power_cut;
    const unsigned flags = waits ? 0 : MDB_NOSYNC;
    return {waits ? "LMDB" : "LMDB, NOSYNC",
            [=](const std::string& folder) { return std::make_unique<Lmdb>(folder, flags); }};
}

}  // namespace bench
