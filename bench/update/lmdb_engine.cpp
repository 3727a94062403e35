// LMDB as its documentation says is fastest: MDB_NOSYNC | MDB_WRITEMAP | MDB_NOTLS, MDB_RESERVE.
#include "update/workload.hpp"

#include <lmdb.h>
#include <cstring>
#include <filesystem>
#include <stdexcept>

namespace bench {

namespace {

void check(int code) {
    if (code != MDB_SUCCESS) throw std::runtime_error(mdb_strerror(code));
}

class Lmdb final : public Engine {
public:
    Lmdb(const std::string& folder, int batch) : batch_(batch) {
        std::filesystem::create_directories(folder);
        check(mdb_env_create(&env_));
        check(mdb_env_set_mapsize(env_, std::size_t{4} << 30U));
        check(mdb_env_open(env_, folder.c_str(), MDB_NOSYNC | MDB_WRITEMAP | MDB_NOTLS, 0600));
    }
    ~Lmdb() override {
        if (txn_ != nullptr) mdb_txn_abort(txn_);
        mdb_env_close(env_);
    }
    Lmdb(const Lmdb&) = delete;
    Lmdb& operator=(const Lmdb&) = delete;
    std::string name() const override {
        return batch_ == 1 ? "LMDB NOSYNC+WRITEMAP"
                           : "LMDB same, " + std::to_string(batch_) + " a commit";
    }
    std::string survives() const override { return "nothing promised; current value only"; }
    void load(Model& model) override {
        begin();
        check(mdb_dbi_open(txn_, nullptr, MDB_INTEGERKEY, &dbi_));
        for (std::size_t n = 0; n < model.pages(); ++n) put(n, model.page(n));
        commit();
    }
    void update(std::size_t n, std::span<const std::byte> bytes) override {
        if (txn_ == nullptr) begin();
        put(n, bytes);
        if (++pending_ == batch_) commit();
    }
    void finish() override {
        if (txn_ != nullptr) commit();
    }
    std::vector<std::byte> read(std::size_t n) override {
        MDB_txn* reader = nullptr;
        check(mdb_txn_begin(env_, nullptr, MDB_RDONLY, &reader));
        std::uint64_t id = n;
        MDB_val key{sizeof id, &id}, value{};
        check(mdb_get(reader, dbi_, &key, &value));
        const auto* first = static_cast<const std::byte*>(value.mv_data);
        std::vector<std::byte> bytes(first, first + value.mv_size);
        mdb_txn_abort(reader);
        return bytes;
    }

private:
    void begin() { check(mdb_txn_begin(env_, nullptr, 0, &txn_)); }
    void commit() {
        check(mdb_txn_commit(txn_));
        txn_ = nullptr;
        pending_ = 0;
    }
    void put(std::size_t n, std::span<const std::byte> bytes) {
        std::uint64_t id = n;
        MDB_val key{sizeof id, &id}, value{bytes.size(), nullptr};
        check(mdb_put(txn_, dbi_, &key, &value, MDB_RESERVE));
        std::memcpy(value.mv_data, bytes.data(), bytes.size());
    }
    int batch_, pending_ = 0;
    MDB_env* env_ = nullptr;
    MDB_txn* txn_ = nullptr;
    MDB_dbi dbi_ = 0;
};

}  // namespace

std::unique_ptr<Engine> lmdb_engine(const std::string& folder, int updates_a_commit) {
    return std::make_unique<Lmdb>(folder, updates_a_commit);
}

}  // namespace bench
