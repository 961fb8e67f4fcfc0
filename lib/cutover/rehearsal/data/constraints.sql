-- ShadowTwin's database, second half: what is built after the rows are loaded.

ALTER TABLE public.users ADD CONSTRAINT users_pkey PRIMARY KEY (id);
ALTER TABLE public.users ADD CONSTRAINT users_email_key UNIQUE (email);
ALTER TABLE public.users ADD CONSTRAINT users_public_id_key UNIQUE (public_id);
ALTER TABLE public.users ADD CONSTRAINT users_email_has_at CHECK (email ~~ '%@%'::public.citext);
ALTER TABLE public.teams ADD CONSTRAINT teams_pkey PRIMARY KEY (id);
ALTER TABLE public.team_members ADD CONSTRAINT team_members_pkey PRIMARY KEY (team_id, user_id);
ALTER TABLE public.sessions ADD CONSTRAINT sessions_pkey PRIMARY KEY (id);
ALTER TABLE public.sessions ADD CONSTRAINT sessions_end_after_start CHECK (expires_at > created_at);
ALTER TABLE public.twins ADD CONSTRAINT twins_pkey PRIMARY KEY (id);
ALTER TABLE public.conversations ADD CONSTRAINT conversations_pkey PRIMARY KEY (id);
ALTER TABLE public.messages ADD CONSTRAINT messages_pkey PRIMARY KEY (id);
ALTER TABLE public.messages ADD CONSTRAINT messages_tokens_not_negative CHECK (tokens >= 0);
ALTER TABLE public.attachments ADD CONSTRAINT attachments_pkey PRIMARY KEY (id);
ALTER TABLE public.reports ADD CONSTRAINT reports_pkey PRIMARY KEY (id);
ALTER TABLE public.reports ADD CONSTRAINT reports_done_has_file CHECK (status <> 'done' OR file IS NOT NULL);
ALTER TABLE public.plans ADD CONSTRAINT plans_pkey PRIMARY KEY (code);
ALTER TABLE public.subscriptions ADD CONSTRAINT subscriptions_pkey PRIMARY KEY (id);
ALTER TABLE public.subscriptions ADD CONSTRAINT subscriptions_no_overlap EXCLUDE USING gist (user_id WITH =, period WITH &&);
ALTER TABLE public.invoices ADD CONSTRAINT invoices_pkey PRIMARY KEY (number);
ALTER TABLE public.jobs ADD CONSTRAINT jobs_pkey PRIMARY KEY (id);
ALTER TABLE public.twin_metrics ADD CONSTRAINT twin_metrics_pkey PRIMARY KEY (twin_id, metric, at);
ALTER TABLE public.feature_flags ADD CONSTRAINT feature_flags_pkey PRIMARY KEY (key);
ALTER TABLE public."LegacyImports" ADD CONSTRAINT "LegacyImports_pkey" PRIMARY KEY ("rowId", "order");
ALTER TABLE public.webhooks ADD CONSTRAINT webhooks_pkey PRIMARY KEY (id);
ALTER TABLE public.schema_migrations ADD CONSTRAINT schema_migrations_pkey PRIMARY KEY (version);
ALTER TABLE audit.log ADD CONSTRAINT log_pkey PRIMARY KEY (id, at);

ALTER TABLE public.teams ADD CONSTRAINT teams_parent_fkey
    FOREIGN KEY (parent_id) REFERENCES public.teams (id) DEFERRABLE INITIALLY DEFERRED;
ALTER TABLE public.team_members ADD CONSTRAINT team_members_team_fkey
    FOREIGN KEY (team_id) REFERENCES public.teams (id) ON DELETE CASCADE;
ALTER TABLE public.team_members ADD CONSTRAINT team_members_user_fkey
    FOREIGN KEY (user_id) REFERENCES public.users (id) ON DELETE CASCADE;
ALTER TABLE public.sessions ADD CONSTRAINT sessions_user_fkey
    FOREIGN KEY (user_id) REFERENCES public.users (id) ON DELETE CASCADE;
ALTER TABLE public.twins ADD CONSTRAINT twins_owner_fkey FOREIGN KEY (owner_id) REFERENCES public.users (id);
ALTER TABLE public.conversations ADD CONSTRAINT conversations_twin_fkey
    FOREIGN KEY (twin_id) REFERENCES public.twins (id) ON DELETE CASCADE;
ALTER TABLE public.conversations ADD CONSTRAINT conversations_user_fkey
    FOREIGN KEY (user_id) REFERENCES public.users (id);
ALTER TABLE public.messages ADD CONSTRAINT messages_conversation_fkey
    FOREIGN KEY (conversation_id) REFERENCES public.conversations (id) ON DELETE CASCADE;
ALTER TABLE public.attachments ADD CONSTRAINT attachments_message_fkey
    FOREIGN KEY (message_id) REFERENCES public.messages (id) ON DELETE CASCADE;
ALTER TABLE public.reports ADD CONSTRAINT reports_twin_fkey
    FOREIGN KEY (twin_id) REFERENCES public.twins (id) ON DELETE CASCADE;
ALTER TABLE public.reports ADD CONSTRAINT reports_requested_by_fkey
    FOREIGN KEY (requested_by) REFERENCES public.users (id);
ALTER TABLE public.subscriptions ADD CONSTRAINT subscriptions_user_fkey
    FOREIGN KEY (user_id) REFERENCES public.users (id);
ALTER TABLE public.subscriptions ADD CONSTRAINT subscriptions_plan_fkey
    FOREIGN KEY (plan_code) REFERENCES public.plans (code) ON UPDATE CASCADE;
ALTER TABLE public.invoices ADD CONSTRAINT invoices_subscription_fkey
    FOREIGN KEY (subscription_id) REFERENCES public.subscriptions (id);
ALTER TABLE public.twin_metrics ADD CONSTRAINT twin_metrics_twin_fkey
    FOREIGN KEY (twin_id) REFERENCES public.twins (id) ON DELETE CASCADE;

CREATE INDEX users_active_seen_idx ON public.users (last_seen_at DESC) WHERE status = 'active';
CREATE INDEX users_name_trgm_idx ON public.users USING gin (display_name public.gin_trgm_ops);
CREATE INDEX users_domain_idx ON public.users (lower(email_domain));
CREATE INDEX users_settings_idx ON public.users USING gin (settings jsonb_path_ops);
CREATE INDEX sessions_user_idx ON public.sessions (user_id, expires_at);
CREATE UNIQUE INDEX sessions_token_idx ON public.sessions (token_hash);
CREATE INDEX twins_owner_idx ON public.twins (owner_id);
CREATE INDEX twins_traits_idx ON public.twins USING gin (traits);
CREATE INDEX twins_public_idx ON public.twins (slug) WHERE visibility = 'public';
CREATE INDEX conversations_twin_idx ON public.conversations (twin_id, started_at DESC) INCLUDE (status);
CREATE INDEX messages_conversation_idx ON public.messages (conversation_id, id);
CREATE INDEX messages_created_idx ON public.messages USING brin (created_at);
CREATE INDEX attachments_message_idx ON public.attachments (message_id);
CREATE INDEX reports_twin_idx ON public.reports (twin_id, created_at DESC);
CREATE INDEX reports_waiting_idx ON public.reports (created_at) WHERE status IN ('queued', 'running');
CREATE INDEX jobs_waiting_idx ON public.jobs (queue, run_at) WHERE state = 'waiting';
CREATE INDEX jobs_twin_idx ON public.jobs (((payload ->> 'twin_id'))) WHERE (payload ->> 'twin_id') IS NOT NULL;
CREATE INDEX page_views_path_idx ON public.page_views (path text_pattern_ops);
CREATE INDEX log_actor_idx ON audit.log (actor_id, at DESC);

CREATE FUNCTION public.touch_updated_at() RETURNS trigger
    LANGUAGE plpgsql AS $$
BEGIN
    NEW.updated_at := now();
    RETURN NEW;
END
$$;

CREATE FUNCTION public.count_messages() RETURNS trigger
    LANGUAGE plpgsql AS $$
BEGIN
    IF TG_OP = 'INSERT' THEN
        UPDATE public.conversations SET message_count = message_count + 1 WHERE id = NEW.conversation_id;
        RETURN NEW;
    END IF;
    UPDATE public.conversations SET message_count = message_count - 1 WHERE id = OLD.conversation_id;
    RETURN OLD;
END
$$;

CREATE FUNCTION audit.record() RETURNS trigger
    LANGUAGE plpgsql SECURITY DEFINER SET search_path TO 'pg_catalog' AS $$
BEGIN
    INSERT INTO audit.log (action, subject, change)
    VALUES (lower(TG_OP), format('%I.%I', TG_TABLE_SCHEMA, TG_TABLE_NAME),
            jsonb_build_object('id', NEW.id, 'role', NEW.role, 'status', NEW.status));
    RETURN NULL;
END
$$;

CREATE FUNCTION public.twins_of(owner bigint, OUT id bigint, OUT name text, OUT conversations bigint) RETURNS SETOF record
    LANGUAGE sql STABLE PARALLEL SAFE
    BEGIN ATOMIC
        SELECT t.id, t.name, count(c.id)
        FROM public.twins t LEFT JOIN public.conversations c ON c.twin_id = t.id
        WHERE t.owner_id = owner
        GROUP BY t.id, t.name
        ORDER BY t.id;
    END;

CREATE PROCEDURE public.expire_sessions(before timestamp with time zone DEFAULT now())
    LANGUAGE plpgsql AS $$
BEGIN
    DELETE FROM public.sessions WHERE expires_at < before;
END
$$;

CREATE AGGREGATE public.concatenated(text) (
    SFUNC = 'textcat', STYPE = text, INITCOND = ''
);

CREATE TRIGGER users_touch BEFORE UPDATE ON public.users FOR EACH ROW EXECUTE FUNCTION public.touch_updated_at();
CREATE TRIGGER twins_touch BEFORE UPDATE ON public.twins
    FOR EACH ROW WHEN (OLD.name <> NEW.name OR OLD.persona <> NEW.persona) EXECUTE FUNCTION public.touch_updated_at();
CREATE TRIGGER messages_count AFTER INSERT OR DELETE ON public.messages
    FOR EACH ROW EXECUTE FUNCTION public.count_messages();
CREATE TRIGGER users_audit AFTER UPDATE OF role, status ON public.users
    FOR EACH ROW EXECUTE FUNCTION audit.record();

CREATE VIEW public.active_users AS
    SELECT id, public_id, email, display_name, role, last_seen_at
    FROM public.users
    WHERE status = 'active';

CREATE VIEW public.twin_overview WITH (security_barrier = true) AS
    SELECT t.id, t.name, t.slug, u.email AS owner, count(c.id) AS conversations, max(c.started_at) AS last_conversation
    FROM public.twins t
    JOIN public.active_users u ON u.id = t.owner_id
    LEFT JOIN public.conversations c ON c.twin_id = t.id
    GROUP BY t.id, t.name, t.slug, u.email;

CREATE MATERIALIZED VIEW analytics.daily_usage AS
    SELECT (created_at AT TIME ZONE 'UTC')::date AS day,
           count(*) AS messages,
           sum(tokens) AS tokens,
           sum(cost_usd) AS cost_usd
    FROM public.messages
    GROUP BY 1;
CREATE UNIQUE INDEX daily_usage_day_idx ON analytics.daily_usage (day);

CREATE STATISTICS public.conversations_stats (dependencies) ON twin_id, user_id FROM public.conversations;

COMMENT ON SCHEMA audit IS 'Who did what, kept for seven years';
COMMENT ON TABLE public.users IS 'People who can sign in';
COMMENT ON COLUMN public.users.trust_score IS 'From the fraud model; NaN until it has run, ±infinity by decree';
COMMENT ON COLUMN public.messages.cost_usd IS 'What the model''s provider charged, to a billionth of a dollar';
COMMENT ON TABLE public.page_views IS 'No key: the same view may be reported twice';
COMMENT ON VIEW public.active_users IS 'What support sees';
COMMENT ON FUNCTION public.slugify(text) IS 'Latin letters and digits, the rest is a hyphen';
COMMENT ON TYPE public.report_status IS 'queued → running → done or failed; expired once its file is removed';
COMMENT ON INDEX public.users_name_trgm_idx IS 'Search by a part of the name';
COMMENT ON CONSTRAINT subscriptions_no_overlap ON public.subscriptions IS 'One subscription at a time';
