// LMDB: what it hands out is copied within its read transaction, as its pages may be used again
// behind it.
#include "beside/sides.hpp"

#include <lmdb.h>
#include <cstring>
#include <stdexcept>
#include <vector>

namespace bench {

namespace {

void check(int code) {
    if (code != MDB_SUCCESS) throw std::runtime_error(mdb_strerror(code));
}

class LmdbReader final : public Reader {
public:
    LmdbReader(const std::string& folder, bool renewed) : renewed_(renewed) {
        check(mdb_env_create(&env_));
        check(mdb_env_set_mapsize(env_, std::size_t{1} << 30U));
        check(mdb_env_open(env_, folder.c_str(), MDB_RDONLY, 0600));
        check(mdb_txn_begin(env_, nullptr, MDB_RDONLY, &txn_));
        check(mdb_dbi_open(txn_, nullptr, MDB_INTEGERKEY, &dbi_));
        check(mdb_txn_commit(txn_));
        txn_ = nullptr;
    }
    ~LmdbReader() override {
        if (txn_ != nullptr) mdb_txn_abort(txn_);
        mdb_env_close(env_);
    }
    LmdbReader(const LmdbReader&) = delete;
    LmdbReader& operator=(const LmdbReader&) = delete;
    Moment read(std::uint64_t page, std::span<std::byte> out) override {
        const auto moment = begin();
        copy(page, out);
        end();
        return moment;
    }
    Moment read_many(std::span<const std::uint64_t> pages) override {
        held_.resize(pages.size() * page_size);
        const auto moment = begin();
        for (std::size_t i = 0; i < pages.size(); ++i)
            copy(pages[i], std::span(held_).subspan(i * page_size, page_size));
        end();
        return moment;
    }
    std::span<const std::byte> held(std::size_t n) const override {
        return std::span(held_).subspan(n * page_size, page_size);
    }

private:
    Moment begin() {
        check(txn_ != nullptr ? mdb_txn_renew(txn_)
                              : mdb_txn_begin(env_, nullptr, MDB_RDONLY, &txn_));
        return mdb_txn_id(txn_);
    }
    void copy(std::uint64_t page, std::span<std::byte> out) {
        MDB_val key{sizeof page, &page}, value{};
        check(mdb_get(txn_, dbi_, &key, &value));
        if (value.mv_size != out.size()) throw std::runtime_error("LMDB: a page of another size");
        std::memcpy(out.data(), value.mv_data, out.size());
    }
    void end() {
        if (renewed_) {
            mdb_txn_reset(txn_);
        } else {
            mdb_txn_abort(txn_);
            txn_ = nullptr;
        }
    }
    bool renewed_;
    MDB_env* env_ = nullptr;
    MDB_txn* txn_ = nullptr;
    MDB_dbi dbi_ = 0;
    std::vector<std::byte> held_{};
};

}  // namespace

Sides lmdb_sides(bool renewed) {
    return {
        renewed ? "LMDB, mdb_txn_renew" : "LMDB",
        [](const std::string& folder, std::span<const std::byte> bytes) {
            return loaded_writer(lmdb_store(Survives::kill), folder, bytes);
        },
        [=](const std::string& folder) { return std::make_unique<LmdbReader>(folder, renewed); }};
}

}  // namespace bench
