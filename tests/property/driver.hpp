/// tests/property/driver: performs random operations on a bus and on a model of it, side by side.
///
/// The model is a Contents: a std::map from page to name, metadata, epoch and bytes. What the bus
/// must hold after an operation is computed from the map alone.
#pragma once

#include "support/contents.hpp"
#include "support/temp_bus.hpp"

#include <rapidcheck.h>

#include <algorithm>
#include <set>

namespace mmsb::test {

enum class Kind : std::uint8_t {
    create,
    update,
    edit,
    write,
    apply,
    resize,
    rename,
    metadata,
    remove,
    clone,
    transaction,
    restore,
};
/// Small numbers that are given a meaning by what is there when the operation is performed.
struct Op {
    Kind kind{};
    unsigned page = 0, other = 0, size = 0, seed = 0;
};

inline std::ostream& operator<<(std::ostream& out, const Op& op) {
    static constexpr std::array names{"create", "update", "edit",        "write",
                                      "apply",  "resize", "rename",      "metadata",
                                      "remove", "clone",  "transaction", "restore"};
    return out << names.at(static_cast<std::size_t>(op.kind)) << "(page " << op.page << ", other "
               << op.other << ", size " << op.size << ", seed " << op.seed << ")";
}

inline rc::Gen<Op> any_op() {
    const auto kind = rc::gen::weightedOneOf<Kind>({
        {3, rc::gen::just(Kind::create)},
        {4, rc::gen::just(Kind::update)},
        {3, rc::gen::just(Kind::edit)},
        {5, rc::gen::just(Kind::write)},
        {2, rc::gen::just(Kind::apply)},
        {4, rc::gen::just(Kind::resize)},
        {3, rc::gen::just(Kind::rename)},
        {2, rc::gen::just(Kind::metadata)},
        {2, rc::gen::just(Kind::remove)},
        {1, rc::gen::just(Kind::clone)},
        {5, rc::gen::just(Kind::transaction)},
        {2, rc::gen::just(Kind::restore)},
    });
    // Mostly small pages; some whose records are larger than a quarter of the ring.
    const auto size = rc::gen::weightedOneOf<unsigned>({
        {1, rc::gen::just(0U)},
        {8, rc::gen::inRange(0U, 300U)},
        {3, rc::gen::inRange(4000U, 4200U)},
        {1, rc::gen::inRange(15000U, 60000U)},
    });
    return rc::gen::build<Op>(
        rc::gen::set(&Op::kind, kind), rc::gen::set(&Op::page, rc::gen::inRange(0U, 16U)),
        rc::gen::set(&Op::other, rc::gen::inRange(0U, 16U)), rc::gen::set(&Op::size, size),
        rc::gen::set(&Op::seed, rc::gen::inRange(0U, 1000U)));
}

inline void require(bool holds, const std::string& what) {
    if (!holds) RC_FAIL(what);
}

class Driver {
public:
    explicit Driver(const State& bus) : bus_(&bus) { past_.push_back(contents_of(bus)); }

    /// Of another State of the same bus, opened later.
    void go_on_with(const State& bus) { bus_ = &bus; }

    void perform(const Op& op) {
        auto next = now();
        if (op.kind == Kind::transaction)
            transaction(op, next);
        else if (op.kind == Kind::restore)
            restore(op, next);
        else
            alone(op, next);
    }

    [[nodiscard]] const Contents& now() const { return past_.back(); }
    /// As of each sequence from zero on.
    [[nodiscard]] const std::vector<Contents>& past() const { return past_; }

    void check_now() const { RC_ASSERT(contents_of(*bus_) == now()); }
    void check_past() const {
        for (const auto& then : past_)
            RC_ASSERT(contents_of(bus_->at(Sequence{then.sequence})) == then);
    }

private:
    using Pages = std::map<std::uint64_t, PageContents>;

    [[nodiscard]] static std::string name_of(unsigned n) {
        return n % 5 == 0 ? "" : "n" + std::to_string(n % 5);
    }

    [[nodiscard]] Page page(std::uint64_t id) const { return bus_->page(PageId{id}); }

    static std::uint64_t pick(const Pages& pages, unsigned n) {
        return std::next(pages.begin(), n % static_cast<std::ptrdiff_t>(pages.size()))->first;
    }

    static bool names_are_unique(const Pages& pages) {
        std::set<std::string> seen;
        return std::all_of(pages.begin(), pages.end(), [&](const auto& p) {
            return p.second.name.empty() || seen.insert(p.second.name).second;
        });
    }

    // Epochs and the number of changed bytes follow from what differs.
    std::uint64_t settle(Contents& next) const {
        std::uint64_t changed = 0;
        for (auto& [id, page] : next.pages) {
            const auto before = now().pages.find(id);
            auto old = before == now().pages.end() ? Bytes{} : before->second.bytes;
            const bool resized = before != now().pages.end() && old.size() != page.bytes.size();
            old.resize(page.bytes.size());
            std::uint64_t differ = 0;
            for (std::size_t i = 0; i < old.size(); ++i)
                differ += old[i] != page.bytes[i] ? 1U : 0U;
            changed += differ;
            page.epoch = before == now().pages.end()
                             ? 0
                             : before->second.epoch + (resized || differ != 0 ? 1 : 0);
        }
        next.sequence = now().sequence + (next.pages == now().pages ? 0 : 1);
        return changed;
    }

    void settle_and_check(Contents& next, const Committed& done) {
        const auto changed = settle(next);
        RC_ASSERT(done.changed_bytes == changed);
        settle_and_check(next, done.sequence, done.changed());
    }
    void settle_and_check(Contents& next, Sequence sequence, bool logged) {
        RC_ASSERT(logged == (next.sequence != now().sequence));
        RC_ASSERT(number(sequence) == next.sequence);
        if (logged) past_.push_back(next);
        RC_ASSERT(contents_of(*bus_) == now());
    }

    // Performs `call`; if the model says that names would clash, it must be refused.
    template <class F>
    void one(Contents& next, F call) {
        if (names_are_unique(next.pages)) {
            settle_and_check(next, call());
            return;
        }
        bool refused = false;
        try {
            call();
        } catch (const InvalidArgument&) {
            refused = true;
        }
        require(refused, "a name was given twice");
        check_now();
    }

    void alone(const Op& op, Contents& next) {
        if (op.kind == Kind::create || next.pages.empty()) return create(op, next);
        const auto id = pick(next.pages, op.page);
        auto& model = next.pages.at(id);
        const auto live = page(id);
        switch (op.kind) {
            case Kind::update:
                model.bytes = pattern(model.bytes.size(), op.seed % 3);
                return one(next, [&] { return live.update(model.bytes); });
            case Kind::edit:
                if (!model.bytes.empty()) model.bytes[op.size % model.bytes.size()] ^= std::byte{1};
                return one(next, [&] {
                    return live.update([&](std::span<std::byte> b) {
                        std::copy(model.bytes.begin(), model.bytes.end(), b.begin());
                    });
                });
            case Kind::write: {
                const auto [offset, bytes] = part(model.bytes.size(), op);
                std::copy(bytes.begin(), bytes.end(),
                          model.bytes.begin() + static_cast<std::ptrdiff_t>(offset));
                return one(next, [&, o = offset, &b = bytes] { return live.write(o, b); });
            }
            case Kind::apply: {
                const auto delta = diff(pattern(model.bytes.size(), op.seed % 3),
                                        pattern(model.bytes.size(), op.seed % 4));
                delta.apply_to(model.bytes);
                return one(next, [&] { return live.apply(delta); });
            }
            case Kind::resize:
                model.bytes.resize(op.size);
                return one(next, [&] { return live.resize(op.size); });
            case Kind::rename:
                model.name = name_of(op.seed);
                return one(next, [&] { return live.rename(name_of(op.seed)); });
            case Kind::metadata: {
                const auto [key, value] = text(op);
                set(model.metadata, key, value);
                return one(next, [&, &k = key, &v = value] { return live.set_metadata(k, v); });
            }
            case Kind::clone:
                return clone(op, next, live);
            default:
                next.pages.erase(id);
                return one(next, [&] { return bus_->delete_page(live); });
        }
    }

    void create(const Op& op, Contents& next) {
        const auto name = name_of(op.seed);
        const auto contents = pattern(op.size / (1 + op.other % 3), op.seed);
        const bool clash = !name.empty() && bus_->find_page(name).has_value();
        try {
            const auto made = bus_->create_page(
                op.size, {.name = name, .metadata = {{"made", name}}, .contents = contents});
            require(!clash, "a name was given twice");
            PageContents model{.name = name, .metadata = {}, .bytes = contents};
            set(model.metadata, "made", name);
            model.bytes.resize(op.size);
            require(next.pages.empty() || number(made.id()) > next.pages.rbegin()->first,
                    "ids go up");
            next.pages[number(made.id())] = model;
        } catch (const InvalidArgument&) {
            require(clash, "a free name was refused");
        }
        settle(next);
        settle_and_check(next, bus_->sequence(), !clash);
    }

    void clone(const Op& op, Contents& next, const Page& of) {
        const auto made = of.clone();
        auto& model = next.pages[number(made.id())];
        model = next.pages.at(number(of.id()));
        model.name = "";
        static_cast<void>(op);
        settle(next);
        settle_and_check(next, bus_->sequence(), true);
    }

    void transaction(const Op& op, Contents& next) {
        fresh_.clear();
        auto tx = bus_->transaction();
        const auto before = next.pages;
        for (unsigned i = 0; i < 2 + op.other % 4; ++i) {
            const Op step{static_cast<Kind>((op.seed + i * 7 + op.page) % 9), op.page + i * 5,
                          op.other + i, (op.size * (i + 1)) % 5000, op.seed + i * 31};
            if (step.kind == Kind::create || next.pages.empty())
                create_in(tx, step, next);
            else
                change_in(tx, step, next);
        }
        for (const auto& [id, model] : next.pages)
            if (before.contains(id)) RC_ASSERT(tx.read(page(id)) == model.bytes);
        one(next, [&] { return tx.commit(); });
    }

    void create_in(Transaction& tx, const Op& op, Contents& next) {
        const auto made = tx.create_page(
            op.size, {.name = name_of(op.seed), .contents = pattern(op.size / 2, op.seed)});
        auto& model = next.pages[number(made.id())];
        model.name = name_of(op.seed);
        model.bytes = pattern(op.size / 2, op.seed);
        model.bytes.resize(op.size);
        fresh_[number(made.id())] = made;
        RC_ASSERT(tx.read(made) == model.bytes);
    }

    void change_in(Transaction& tx, const Op& op, Contents& next) {
        const auto id = pick(next.pages, op.page);
        auto& model = next.pages.at(id);
        const auto staged = fresh_.contains(id) ? fresh_.at(id) : page(id);
        switch (op.kind) {
            case Kind::resize:
                model.bytes.resize(op.size);
                tx.resize(staged, op.size);
                break;
            case Kind::rename:
                model.name = name_of(op.seed);
                tx.rename(staged, model.name);
                break;
            case Kind::metadata: {
                const auto [key, value] = text(op);
                set(model.metadata, key, value);
                tx.set_metadata(staged, key, value);
                break;
            }
            case Kind::remove:
                tx.delete_page(staged);
                next.pages.erase(id);
                return;
            case Kind::update:
                model.bytes = pattern(model.bytes.size(), op.seed % 3);
                tx.update(staged, model.bytes);
                break;
            case Kind::apply: {
                const auto delta = diff(pattern(model.bytes.size(), op.seed % 3),
                                        pattern(model.bytes.size(), op.seed % 4));
                delta.apply_to(model.bytes);
                tx.apply(staged, delta);
                break;
            }
            default: {
                const auto [offset, bytes] = part(model.bytes.size(), op);
                std::copy(bytes.begin(), bytes.end(),
                          model.bytes.begin() + static_cast<std::ptrdiff_t>(offset));
                tx.write(staged, offset, bytes);
            }
        }
        RC_ASSERT(tx.read(staged) == model.bytes);
    }

    // Some pages as they were at an earlier sequence, if they are still there.
    void restore(const Op& op, Contents& next) {
        const auto& then = past_.at(op.seed % past_.size());
        std::vector<Page> pages;
        for (const auto& [id, old] : then.pages) {
            const auto found = next.pages.find(id);
            if (found == next.pages.end() || (id + op.page) % 2 != 0) continue;
            found->second.bytes = old.bytes;
            pages.push_back(page(id));
        }
        const auto view = bus_->at(Sequence{then.sequence});
        one(next, [&] { return bus_->restore(view, pages); });
    }

    static std::pair<std::size_t, Bytes> part(std::size_t size, const Op& op) {
        const auto offset = size == 0 ? 0 : op.seed * 37 % size;
        return {offset, pattern(std::min<std::size_t>(size - offset, op.size / 3), op.other % 4)};
    }
    static std::pair<std::string, std::string> text(const Op& op) {
        return {"k" + std::to_string(op.other % 3),
                op.seed % 3 == 0 ? "" : "v" + std::to_string(op.seed % 4)};
    }
    static void set(Metadata& metadata, const std::string& key, const std::string& value) {
        if (value.empty())
            metadata.erase(key);
        else
            metadata[key] = value;
    }

    const State* bus_;
    std::vector<Contents> past_{};
    std::map<std::uint64_t, Page> fresh_{};
};

}  // namespace mmsb::test
